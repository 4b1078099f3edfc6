"""The libvirt edge: the only importers of libvirt. Begin with the two supervisors.

hypervisor_supervisor   looks after a hypervisor: inventory is what it has, lifecycle what happens there, and arrivals
                        which guests are on their way there
console_supervisor      looks after a console: opener opens it, stream is what it says and is sent
errands                 what clients ask of domains; description is how libvirt sees one

connection              what calls are made on: a link of one's own, or a share in one of a pool
link                    one libvirt connection; transport is its sockets, headroom the descriptors that it needs
workers                 the threads in which calls are made, each under a deadline; errors is what libvirt says of them
bridge                  libvirt's event loop, on ours; descriptor is a file that it watches
cancelled               what a failure boundary owes to who cancels it
"""
