"""A time of faults, injected for real, and an oracle that knows what each guest printed and what was done to it.

`run` lets it happen: `stage` is where, `faults` is what happens to guests, libvirtd and the daemon, `clients` who comes
and goes meanwhile. `printed`, `told` and `oracle` are pure: they hold what clients were told against what is known.
"""
