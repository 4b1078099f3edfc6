"""What virtmux decides, without doing it: records, places, the life of a console, evidence and causes.

Pure: no asyncio, socket, file, clock, thread, logging or libvirt. Time arrives as an argument (nanoseconds since the
epoch), decisions leave as values.
"""
