"""The journal's writer: what the consoles' files are, and how they are kept. `virtmux.journal` reads them.

On the loop, which never waits for the disk:

recorder      reads a console's records, as a client does
writer        has a thread write what recorders give, a job at a time
archive       what is asked for by readers that are further behind than the ring; readers are the threads for that

In a thread, blocking:

store         the directory: settings say where and how much, lock keeps others out, links are for people, and janitor
              removes what is too much
files         one console's: what comes in batches goes to the segment that is growing, beside the others (segments)
examination   how much is true of what is found; recovery: what a daemon that starts learns from that
disk          files and directories, as all of these make and write them
"""
