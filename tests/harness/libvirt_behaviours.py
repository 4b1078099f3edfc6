"""What virtmuxd relies on of libvirt's consoles and connections: each a behaviour, put to a `Subject`.

The fake shows them all (tests/daemon/hypervisor/test_fake_libvirt.py), and so do the real ones
(tests/integration/test_libvirt.py). Where a driver in this process differs from one behind RPC, or one whose consoles
are exclusive from one whose are not, each has its own here.
"""

from tests.harness.libvirt_connections import CONNECTIONS
from tests.harness.libvirt_streams import STREAMS
from tests.harness.libvirt_subject import Behaviours

BEHAVIOURS = Behaviours({**STREAMS, **CONNECTIONS})
