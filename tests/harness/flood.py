"""What a boot-sector guest prints when it floods: numbered lines, some 150 KB a second."""

import re

from tests.harness.follower import Follower
from tests.harness.guest import BANNER, FLOOD

_LINE = b"line %08d\r\n"
_END = b"."


async def flood(client: Follower, size: int) -> None:
    """Let the guest flood until `size` bytes more have come, and stop it; returns once all of it has come."""
    start = client.console.position.offset
    await client.write(FLOOD)
    await client.until_offset(start + size)
    await client.write(_END)
    await client.until_last(_END)


def flooded(data: bytes) -> bytes:
    """What a guest printed that greeted, flooded once, and whose newest output is `data`."""
    lines = int(re.findall(rb"line (\d{8})\r\n", data)[-1])
    return BANNER + b"".join(_LINE % number for number in range(1, lines + 1)) + _END


def numbers(output: bytes) -> list[int]:
    """Those of the lines that came whole: lines are 16 bytes, so that what is left of two, of which one was printed
    before a loss and the other behind it, may look like a third."""
    told = [int(number) for number in re.findall(rb"line (\d{8})\r?\n", output)]
    neighbours = zip([None, *told], told, [*told[1:], None], strict=False)
    return [
        number
        for before, number, after in neighbours
        if (before is None and after is None) or before == number - 1 or after == number + 1
    ]
