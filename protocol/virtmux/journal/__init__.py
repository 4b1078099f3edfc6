"""The journal: what consoles said, on disk, as log files that people read and an index beside each.

    DIRECTORY/by-id/HYPERVISOR/UUID/DEVICE.log     the guest's bytes and nothing else
                                    DEVICE.idx     its index: a line for each batch of bytes and for each mark
                                    DEVICE.log.0   the segment before it, with DEVICE.idx.0; then .1, .2 ...
    DIRECTORY/DOMAIN -> by-id/HYPERVISOR/UUID      for people: DIRECTORY/DOMAIN/DEVICE.log

The daemon writes it (`virtmuxd.service.journal`); whoever may read the files reads it with this package, also while the
daemon is down.

directory   which consoles and histories there are, by the names of files (names)
history     the records of one history, out of its segments
segment     an index and its log: its files, as they may be renamed meanwhile, and its batches
entries     the lines of an index; times is when they were made
"""
