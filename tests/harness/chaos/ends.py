"""Holds the ends of a console against what was done to it. Pure."""

from collections.abc import Sequence
from math import inf

from tests.harness.chaos.deeds import UNEXPLAINED, Deed
from tests.harness.chaos.told import ToldMark
from virtmux import Attached, Break, Cause, Ended


class Ends:
    """See the module. `contradictions` says what does not fit."""

    def __init__(self, marks: Sequence[ToldMark], deeds: Sequence[Deed]) -> None:
        """`marks` are all of a console, as one client heard them; `deeds` what was done to it."""
        self.contradictions: list[str] = []
        self.told = 0
        #: Ends of attachments that one deed alone can have made.
        self.alone = 0
        self._deeds = deeds
        #: Each of these ends one attachment at most: those that have not yet.
        self._left = [deed for deed in deeds if deed.kind.causes]
        #: Each attachment by the mark that it began with and the one that it was over by, None where it is not.
        self._attachments: list[tuple[ToldMark, ToldMark | None]] = []
        self._follow(marks)
        self._check_outlived()

    def _follow(self, marks: Sequence[ToldMark]) -> None:
        begun: ToldMark | None = None
        before: ToldMark | None = None
        for told in marks:
            match told.mark:
                case Attached():
                    if begun is not None:
                        self._attachments.append((begun, told))
                        self._check_broken(told, is_named=before is not None and isinstance(before.mark, Break))
                    begun = told
                case Ended(attachment=None):
                    self.told += 1
                    self._check_wait(told, told.mark)
                case Ended(attachment=number):
                    self.told += 1
                    if begun is None or not isinstance(begun.mark, Attached) or begun.mark.attachment != number:
                        self.contradictions.append(f"an end of attachment {number}, which was not there: {told.mark}")
                        continue
                    self._attachments.append((begun, told))
                    self._check_end(begun, told, told.mark)
                    begun = None
                case _:
                    pass
            before = told
        if begun is not None:
            self._attachments.append((begun, None))

    def _check_end(self, begun: ToldMark, told: ToldMark, end: Ended) -> None:
        """An attachment's end was made by a deed that has made no other."""
        cause = end.reason.cause
        near = [deed for deed in self._left if _is_near(deed, told) and begun.earliest <= deed.over]
        blurred = cause in UNEXPLAINED and any(deed.kind.blurs and _is_near(deed, told) for deed in self._deeds)
        fitting = [deed for deed in near if blurred or _has_made(deed, told, cause)]
        if fitting:
            self._left.remove(min(fitting, key=lambda deed: deed.until))
            self.alone += len(fitting) == 1
        else:
            self.contradictions.append(f"ended after {_names(near)}: {end.reason}")

    def _check_wait(self, told: ToldMark, end: Ended) -> None:
        """What who waits for the console is told, is so."""
        near = [deed for deed in self._deeds if _is_near(deed, told)]
        if not any(end.reason.cause in deed.kind.causes | deed.kind.meanwhile for deed in near):
            self.contradictions.append(f"not to be had after {_names(near)}: {end.reason}")

    def _check_broken(self, told: ToldMark, *, is_named: bool) -> None:
        """An attachment that another one follows, without an end, was broken off by a deed, and a `break` names it."""
        near = [deed for deed in self._deeds if _is_near(deed, told)]
        if not is_named:
            self.contradictions.append(f"attached again, without an end or a break: {told.mark}")
        elif not any(deed.kind.breaks and deed.is_over(told.at) for deed in near):
            self.contradictions.append(f"broken off after {_names(near)}: {told.mark}")

    def _check_outlived(self) -> None:
        """No attachment goes on through what ends it."""
        for begun, over in self._attachments:
            later = [deed for deed in self._deeds if begun.at < deed.began]
            gone = [deed.began for deed in later if deed.kind.restarts]  # with the daemon, whatever is told of it then
            end = min([inf if over is None else over.earliest, *gone])
            for deed in later:
                if deed.kind.causes and deed.until < end:
                    self.contradictions.append(f"{deed.kind.what} has not ended {begun.mark}")


def _has_made(deed: Deed, told: ToldMark, cause: Cause) -> bool:
    """Whether an end may be one that it makes."""
    return cause in deed.kind.causes and (cause not in deed.kind.afterwards or deed.is_over(told.at))


def _is_near(deed: Deed, told: ToldMark) -> bool:
    """Whether a mark may be a consequence of it."""
    return deed.began <= told.at and told.earliest <= deed.until


def _names(deeds: Sequence[Deed]) -> str:
    return ", ".join(deed.kind.what for deed in deeds) or "nothing"
