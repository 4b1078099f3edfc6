"""pexpect over `virtmux attach`, as over `virsh console`: asks a guest's shell for its kernel.

python3 pexpect_attach.py web1
"""

import sys

import pexpect


def kernel(domain: str) -> str:
    """What `uname -r` says. The end of the guest raises pexpect.EOF, and its reason stands before it."""
    child = pexpect.spawn("virtmux", ["attach", domain], encoding="utf-8", timeout=60)
    child.expect_exact("Escape character is ^] (Ctrl + ])")
    child.send("\r")
    child.expect("[#$] ")
    child.send("uname -r\r")
    child.expect(r"uname -r\r\n(\S+)\r\n")
    version = str(child.match[1])
    child.send("\x1d")  # leaves; the guest runs on
    child.expect(pexpect.EOF)
    child.close()
    if child.exitstatus != 0:
        raise RuntimeError(f"virtmux attach ended with {child.exitstatus}: {child.before}")
    return version


if __name__ == "__main__":
    print(kernel(sys.argv[1]))
