"""What virtmux decides, without doing it: records, places, the life of a console, evidence and causes.

Pure: no asyncio, socket, file, clock, thread, logging or libvirt. Time arrives as an argument (nanoseconds since the
epoch), decisions leave as values. Begin with `console`, where all that a console consists of meets, and both edges:

console      one console; console_key is its identity and its names, holder the hypervisor side as it sees that

machine      its life, as a table: events go in, effects come out; life is how far it has come
seeking      what is done towards an attachment; holding, while it lasts; explaining, once it ended; noting, meanwhile
claim        whether it is wanted; incarnations: which start of the guest is meant
ending       how the cause of an end is found, from evidence; silence: whether it is still served; breaks: what may be
             missing

sequence     its records, with a cursor for each reader; start is where one begins, pace how fast, times when what came
store        where they lie; archive is where they are found further back, past a console of which no more is left

company      who is there, each with a place; roles is who of them may type
inputs       what they type, from the writer of each, by way of input_queue; budget and settling: when it is sent

registry     all consoles, and the hypervisors that they are at; errands is what else is asked of those
statistics   what is counted and measured: of a console in tally, of a hypervisor in counters, of the loop in loop_lag

access       who may do what; door: how many may come; limits: how much they may have, of what has a rate by bucket
retention    what of the journal has to go; log_limit: what of the log is too much, log_fields: whose it is
health       whether a restart is wanted; cgroup: the unit of a process; later: how any of this is called again
"""
