"""Deaths at any moment: an act is run until it dies before a line of the code that is tried, one after the other."""

import sys
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any

from tests.harness.counts import samples


class _Died(BaseException):
    """Stands for SIGKILL: nothing that comes after it is carried out."""


def deaths(
    prepare: Callable[[], Callable[[], object]], is_tried: Callable[[CodeType], bool], *, beyond: int = 0
) -> Iterator[None]:
    """Run what `prepare` gives until it dies before its n-th line in code that `is_tried`, n from 1 until it lives;
    yields after each. Where it lives has to be `beyond` that n. Of those `make test` tries some.

    What is in the files then is what SIGKILL would have left: stores are in program order.
    """
    for lines in samples(3):
        died = _dies(prepare(), lines, is_tried)
        yield
        if not died:
            assert lines >= beyond
            return


def _dies(act: Callable[[], object], lines: int, is_tried: Callable[[CodeType], bool]) -> bool:
    left = lines

    def step(frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal left
        if not is_tried(frame.f_code):
            return None
        if event == "line":
            if left == 0:
                raise _Died
            left -= 1
        return step

    before = sys.gettrace()
    sys.settrace(step)
    try:
        act()
    except _Died:
        return True
    finally:
        sys.settrace(before)
    return False
