"""What the daemon shows to this host: sockets and their clients, rings, the journal, metrics. Knows nothing of libvirt.

listener              the sockets, and who comes in: peer and callers say who that is, descriptors whether there is room
hall                  what all clients have in common; clients is who they are, idle sends away who is silent

client                one client: what comes by intake is carried out, and its bugs end here (contained)
places                its places at consoles, each a client_place
releases              consoles that it has let go
stored_requests       what it asks of the past, errand_requests of domains, people_requests of others, and
                      statistics_requests of the daemon; answers is what these have in common
survey                what waits until hypervisors were looked at; once: a call that is made now or after some time
outgoing              what is sent to it
rights                what it may do, and audit what it did; proofs lets it read on

ring                  a console's last records: bytes behind a ring_header, marks in ring_marks, both as ring_files
journal               all of them, on the disk
library               what is stored, for those who ask
console_log           what happens to consoles, for the log

measurements          what is measured, as metrics; exposition is their text, metrics_http how it is scraped
runtime               the directory of sockets and rings; process: the daemon's own
service_manager       systemd: the sockets that it holds, and what it is told; watchdog feeds its watchdog
aside                 a thread for what may hang
"""
