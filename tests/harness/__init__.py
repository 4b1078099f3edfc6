"""What tests are made with. What is real is of the tests' own, and gone afterwards; a fake passes the tests of what it
stands for. What there is, from the hypervisor to the person:

libvirtd            a libvirt beside the machine's; guest: a domain there, of the domain_xml that `make demo` has too
container           guests of LXC; polkit: who may use libvirt; sshd: from another host; ptys: who else takes PTYs
fake_libvirt        libvirt without a hypervisor: each fake_guest and fake_stream does as a test says
libvirt_behaviours  what virtmuxd relies on (libvirt_connections, libvirt_streams); a libvirt_subject, real or fake, is
                    put to it, a real one in libvirt_player
bridge              what libvirt's event loop is asked

life                the state machine alone; world: what may happen to it, at random
records             a sequence alone, over a memory_store; reading: its readers, starts: where they begin
archived            a sequence with an archive behind it
inputs              input alone
consoles            the core without a hypervisor; placed: places at its consoles
stepped_daemon      the daemon without libvirt, on a stepped_loop that a test turns; visitor: its clients, which hold it
                    to a console_model
rings               rings as a daemon opens them; stores: what is put into them; deaths: of a process, at any moment

recording           a console that is written down, job by job; recorded_life: whatever happens to it meanwhile
console_files       a console's files as they are written; journal_files: as another reader reads them
journal_model       what a journal holds that a journal_writer has written; journal_reading: all of it, read
small_disk          a file system to be filled
console_log         a console's log as people find it; log_source: one in memory

daemon              virtmuxd as a process; watched_daemon: with loop_watch in it; machine: on a host that is restarted
served              a client at the service, without a daemon; allowed: by which access rules
scripted_daemon     a daemon that says what a test writes down; older_peer: stands between two, and knows less
follower            clients that take all, to be waited on; it keeps all; stream compares it; flood: what comes
paster              a client of the protocol itself, which types; stalled: one that does not read; attacks: means harm
echo                how live a console is
matrix              how consoles end, and what everybody is told; chaos: any of it, all at once

command             `virtmux` as a process; terminal: on a terminal; shell: on one that an emulator judges; tmux: in it
screen              a bare terminal, for parts of `virtmux`; scripted_ssh: what stands for another host
virsh_console       libvirt's own client; beside_virsh: both at one guest; beside_virsh_suite: what others' suite does
                    with it, in beside_virsh_words
terminal_output     what a guest may say, in whole pieces; hostile_output: what acts on a terminal

systemd_machine     a machine with a systemd, in its own_root; service: virtmuxd installed there
activated           systemd's part without one: its sockets; readiness: who waits for it; journald: its log
logged              log records; log_calls: which there are; scraping: metrics; json_schema: JSON Lines; pages: docs/
processes           of the tests' own; reaper: ends what they leave; privilege: as root; memory, system_calls: of one
counts              how often and how long; turns: of the loop, until something holds; frames: of the protocol
"""
