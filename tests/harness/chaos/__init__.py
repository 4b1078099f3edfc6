"""A time of faults, injected for real, and an oracle that knows what each guest printed and what was done to it.

`run` lets it happen: `arena` is where, `faults` is what happens to guests, libvirtd and the daemon, `clients` who comes
and goes meanwhile. The rest is pure. `deeds` says what can be done, and what may be told of it; `printed`, `told`,
`ends` and `oracle` hold what clients were told against what is known, and `stories` are what these are tried by.
"""
