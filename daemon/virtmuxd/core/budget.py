"""How much input may be under way to a guest over a connection that it shares with others.

A guest that reads no input fills its PTY, and behind that libvirtd stops reading the whole connection (docs/libvirt.md,
"One connection for each console"). On a connection of its own that is the console's affair; on a shared one it must not
come to that.
"""


class Budget:
    """Bytes that may be sent until the guest is heard again: who says as much as it was sent has, mostly, read it.

    `size` has to leave room in a PTY, which takes about 13.8 KB.
    """

    __slots__ = ("_size", "_spent")

    def __init__(self, size: int) -> None:
        self._size = size
        self._spent = 0

    @property
    def left(self) -> int:
        """How many bytes may be sent now; 0: further input waits."""
        return self._size - self._spent

    def spend(self, n: int) -> None:
        """`n` bytes, at most `left`, are sent.

        Raises:
            ValueError: that is more than is left.
        """
        if not 0 <= n <= self.left:
            raise ValueError(f"{n} bytes of input, and {self.left} may be sent")
        self._spent += n

    def heard(self, n: int) -> None:
        """The guest said `n` bytes."""
        self._spent = max(0, self._spent - n)
