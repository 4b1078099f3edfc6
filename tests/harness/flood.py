"""What a boot-sector guest prints when it floods: numbered lines, some 150 KB a second."""

import re

from tests.harness.console_log import ConsoleLog
from tests.harness.follower import Follower
from tests.harness.guest import BANNER, FLOOD

_LINE = b"line %08d\r\n"
_END = b"."
#: Lines of a burst, and bytes of a line.
_BURST = 512
_SIZE = len(_LINE % 0)


async def flood(client: Follower, size: int) -> None:
    """Let the guest flood until `size` bytes more have come, and stop it; returns once all of it has come."""
    start = client.console.position.offset
    await client.write(FLOOD)
    await client.until_offset(start + size)
    await client.write(_END)
    await client.until_last(_END)


async def burst(client: Follower, log: ConsoleLog, size: int) -> None:
    """Let the guest print `size` bytes or some more in bursts of 8 KB, each of which the log has before the next: none
    is missing there, however small the ring and however slow the machine."""
    end = client.console.position.offset + size
    while client.console.position.offset < end:
        enough = client.console.position.offset + _BURST * _SIZE
        await client.write(FLOOD * _BURST + _END)  # a line for each of them: the next one that ends it waits already
        await client.until_offset(enough)
        await client.until_last(_END)
        await log.until(lambda log: log.data.endswith(client.output[-_SIZE - len(_END) :]))


def is_whole(output: bytes) -> bool:
    """Whether this is all that a guest printed that greeted, and flooded in bursts."""
    return output.replace(_END, b"") == flooded(output).removesuffix(_END)


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
