"""Holds what clients were told against what guests printed and what was done to them. Pure."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf

from tests.harness.chaos.deeds import (
    CLOCK_STEPPED,
    DAEMON_KILLED,
    DAEMON_RESTARTED,
    DESCRIPTORS_EXHAUSTED,
    DESTROY,
    QEMU_END,
    SAVE,
    SHUT_DOWN,
    Deed,
    TurnedAway,
    Typed,
)
from tests.harness.chaos.ends import Ends
from tests.harness.chaos.printed import NeverPrintedError, Printed
from tests.harness.chaos.told import Heard, Held, Told
from virtmux import Break
from virtmux.records import parse_time

#: What is missing of a break is missing behind what the PTY kept, some 20 KB, and up to a second later QEMU throws away
#: what is not read quickly enough (docs/libvirt.md, "Devices"): within so many bytes, or seconds.
KEPT, NOTICED_S = 32768, 3.0
#: Of a guest that ends while its console is attached that much is lost at most: what the PTY kept, which is dropped.
#: One that is reset takes along what its serial port had. Each byte went to the file first.
LAST_WORDS, PORT = KEPT, 17
#: A ring for which there was no descriptor asks again ten seconds later, with the next output.
GROWS_AGAIN_S = 15.0
#: So long after its start a daemon has seen the guests, where libvirtd is there, in seconds.
LOOKS_ROUND_S = 2.0
#: Each ends a run, and begins another one. What the guest said last goes by their causes.
OFF_AND_ON = DESTROY, QEMU_END, SAVE, SHUT_DOWN
GUEST_ENDS = frozenset().union(*(kind.causes for kind in OFF_AND_ON))
SETS_CLOCK = CLOCK_STEPPED, DAEMON_KILLED, DAEMON_RESTARTED
_TOKEN = re.compile(rb"\((\d+)\)")


@dataclass
class Figures:
    """What is known at the end."""

    faults: Counter[str] = field(default_factory=Counter)
    ends: int = 0
    ends_unfit: int = 0
    """What contradicts in them: reasons that do not fit, or are missing, or told twice."""
    ends_alone: int = 0
    """Ends that one deed alone can have made."""
    received: int = 0
    in_gaps: int = 0
    in_breaks: int = 0
    last_words: int = 0
    gone: int = 0
    typed: int = 0
    echoed: int = 0
    turned_away: int = 0
    worst_recovery: float = 0.0

    @property
    def _with_reasons(self) -> str:
        return f"{self.ends_unfit} contradictions in them" if self.ends_unfit else "each with one reason that fits"

    def __str__(self) -> str:
        faults = ", ".join(f"{count} {what}" for what, count in sorted(self.faults.items()))
        return (
            f"faults: {sum(self.faults.values())} ({faults})\n"
            f"ends: {self.ends}, {self._with_reasons}; {self.ends_alone} could have one reason only\n"
            f"bytes: {self.received} received, {self.in_gaps} in gaps of slow clients, {self.in_breaks} lost within "
            f"breaks, {self.last_words} on their way as a guest ended or was reset, {self.gone} gone by the end\n"
            f"input: {self.typed} tokens typed, {self.echoed} came in, each at its boot\n"
            f"visitors: {self.turned_away} turned away while the daemon could not serve them\n"
            f"worst recovery: {self.worst_recovery:.1f} s"
        )


@dataclass(frozen=True)
class Story:
    """All that is known of one guest and its console. The `resident` has heard it from the first byte to the last; who
    came `last` asked for all of it again: the last `kept` bytes are in the ring, where that could grow, and the last
    `stored` ones in the journal, where that could be written."""

    guest: str
    printed: Printed
    resident: Heard
    visitors: Sequence[Heard]
    typed: Sequence[Typed]
    last: Heard | None = None
    kept: int = 0
    stored: int = 0


class Oracle:
    """Judges stories. What contradicts is in `contradictions`, the rest in `figures`."""

    def __init__(self, deeds: Sequence[Deed]) -> None:
        self.contradictions: list[str] = []
        self.figures = Figures(faults=Counter(deed.kind.what for deed in deeds))
        self._deeds = deeds

    def judge_visits(self, turned_away: Sequence[TurnedAway]) -> None:
        """Nobody is turned away who could have been served, and nobody is left waiting."""
        self.figures.turned_away += len(turned_away)
        shut = [(deed.began, self._serves_again(deed)) for deed in self._deeds if deed.kind.shuts]
        for each in turned_away:
            if each.stuck or not any(began <= each.went and each.came <= until for began, until in shut):
                self.contradictions.append(str(each))

    def _serves_again(self, shut: Deed) -> float:
        """When the daemon could serve again that was shut by a deed: one that begins while libvirtd is away knows no
        guest until it has seen libvirtd's for the first time."""
        until = shut.over
        if shut.kind.restarts:
            for away in sorted(self._deeds, key=lambda deed: deed.began):
                if away.kind.hides and away.overlaps(shut.began, until + LOOKS_ROUND_S):
                    until = max(until, away.until)
        return until

    def judge(self, story: Story, recovers_within: float) -> None:
        """Hold one story against the facts; `recovers_within` in seconds."""
        case = _Case(story, [deed for deed in self._deeds if story.guest in deed.guests], self.figures)
        case.check_bytes()
        case.check_kept()
        case.check_input()
        case.check_ends()
        case.check_recovery(recovers_within)
        self.contradictions += [f"{story.guest}: {each}" for each in case.contradictions]


class _Case:
    """One story on its own."""

    def __init__(self, story: Story, deeds: Sequence[Deed], figures: Figures) -> None:
        self.contradictions: list[str] = []
        self._printed, self._resident, self._typed = story.printed, story.resident, story.typed
        self._deeds = deeds
        self._figures = figures
        self._told = Told()
        #: In which run the output of an attachment was printed, by the mark that it began with.
        self._runs: dict[int, int] = {}
        for heard in (story.resident, *story.visitors):
            self._told.add(heard)
        self._last, self._kept, self._stored = story.last, story.kept, story.stored

    # Bytes.

    def check_bytes(self) -> None:
        """What was given is whole and the same for all, it was printed, and of what is missing it is known why."""
        told = self._told
        self.contradictions += told.contradictions
        if told.unheard:
            self.contradictions.append(f"{told.unheard} bytes that nobody was given")
        self._figures.received += len(told.output)
        self._figures.in_gaps += told.gaps
        come_to = end = 0
        last: Held | None = None  # the attachment that brought what is before
        since_last: list[Held] = []  # those that began behind it
        for held in told.attachments():
            since_last.append(held)
            if held.start != end:
                self.contradictions.append(f"output before {held} that belongs to no attachment")
            end = held.end
            for start, piece in told.pieces(held):
                try:
                    stretches = self._printed.find(piece, come_to)
                except NeverPrintedError as error:
                    self.contradictions.append(f"was told what it has not printed, in {held}: {error}")
                    return
                for stretch in stretches:
                    if come_to < stretch.printed:
                        further = self._printed.on_to_boot(come_to, stretch.printed)
                        since, until = come_to + further, stretch.printed + further
                        if last is not None and last is not held:
                            since = self._take_last_words(since, until, last)
                        if since < until:
                            self._excuse(since, until, start + stretch.received + further, since_last)
                    come_to, last, since_last = stretch.printed + stretch.length, held, [held]
                self._runs[held.mark] = self._printed.run_of(come_to - 1)
        left = len(self._printed.data) - come_to
        if left > 1:  # what is stopped just now may have written one byte to the file only
            self.contradictions.append(f"the last {left} bytes did not arrive")

    def _take_last_words(self, since: int, until: int, last: Held) -> int:
        """Of what has not arrived, that from `since` to `until`, what the guest said last in a run that ended while the
        console was attached, by the attachment `last`. Gives where the rest begins."""
        end, ending = self._printed.end_of_run(since - 1), self._ending_of(self._printed.run_of(since - 1))
        if last.ended not in GUEST_ENDS or until < end:
            return since
        lost = end - since
        if last.after is not None and ending is not None and self._age(last, ending.began) < NOTICED_S:
            self._figures.in_breaks += lost  # it ended before QEMU had noticed that somebody reads again
        else:
            self._figures.last_words += lost
            if lost > LAST_WORDS:
                self.contradictions.append(f"the last {lost} bytes of a run are missing, behind {last}")
        return end

    def _excuse(self, since: int, until: int, offset: int, attachments: Sequence[Held]) -> None:
        """What was printed from `since` to `until` has not arrived, where the output has come to an offset, in the last
        of these attachments; those before it brought nothing."""
        lost, held = until - since, attachments[-1]
        if lost <= PORT and self._printed.begins_boot(until):
            self._figures.last_words += lost
        elif held.after is not None and (
            offset - held.start < KEPT or self._age(held, self._resident.came(offset)) < NOTICED_S
        ):
            self._figures.in_breaks += lost
            run = self._printed.run_of(since)
            if not any(each.after is not None and self._reaches(each.after, run, each) for each in attachments):
                self.contradictions.append(f"{lost} bytes are missing at {offset} from before {held.after}")
        else:
            around = self._printed.data[since - 20 : since], self._printed.data[until : until + 20]
            self.contradictions.append(f"{lost} bytes are missing at {offset}, between {around}, in {held}")

    def _reaches(self, gone: Break, run: int, held: Held) -> bool:
        """Whether a break, with which an attachment began, begins before a run was over; true where the daemon's clock
        may have been set meanwhile."""
        ending, back = self._ending_of(run), self._resident.told(held.mark)
        if ending is None:
            return True
        if any(deed.kind in SETS_CLOCK and deed.overlaps(ending.began, back) for deed in self._deeds):
            return True
        lasted = (parse_time(gone.until) - parse_time(gone.since)) / 1e9
        return back - lasted < ending.over

    def _ending_of(self, run: int) -> Deed | None:
        """What ended a run; None if it goes on."""
        offs = sorted((deed for deed in self._deeds if deed.kind in OFF_AND_ON), key=lambda deed: deed.began)
        return offs[run] if run < len(offs) else None

    def _age(self, held: Held, at: float) -> float:
        """How long the console had been attached at that time, in seconds."""
        return at - self._resident.told(held.mark)

    # What is kept.

    def check_kept(self) -> None:
        """Who comes last is given all again that must still be there, up to the end."""
        if self._last is None:
            return
        end, known = len(self._told.output), len(self._told.contradictions)
        came_to = self._told.add(self._last)
        self.contradictions += self._told.contradictions[known:]
        if came_to != end:
            self.contradictions.append(f"who came last came to {came_to} of {end}")
        for start, until in self._last.missing():
            self._figures.gone += until - start
            kept = 0 if self._came_while_small(until) else self._kept
            if until > end - kept or (until > end - self._stored and not self._came_unwritten(start, until)):
                self.contradictions.append(f"who came last was not given {start} to {until} of {end}")

    def _came_while_small(self, until: int) -> bool:
        """Whether bytes may have come before the ring could grow as it needs."""
        last = self._resident.came(until - 1)
        return any(deed.kind is DESCRIPTORS_EXHAUSTED and last <= deed.until + GROWS_AGAIN_S for deed in self._deeds)

    def _came_unwritten(self, start: int, until: int) -> bool:
        """Whether bytes came while the journal could not be written, or was not yet again."""
        first, last = self._resident.came(start), self._resident.came(until - 1)
        unwritten = [deed for deed in self._deeds if deed.kind.unwritten]
        return any(deed.began - NOTICED_S <= first and last <= deed.until for deed in unwritten)

    # Input.

    def check_input(self) -> None:
        """What came in was typed at an attachment of the same run; or of the one before, which was saved with it. Of a
        token that was on its way to what ended then, a part may be lost."""
        sent = {each.token: each.mark for each in self._typed}
        self._figures.typed += len(sent)
        arrived: list[int] = []
        for run, came_in in enumerate(self._printed.came_in()):
            for token in _TOKEN.findall(came_in):
                arrived.append(int(token))
                there = self._runs.get(sent.get(token, 0), run)
                if token not in sent:
                    self.contradictions.append(f"{token!r} came in, and was never typed")
                elif there != run and not (there == run - 1 and self._printed.is_restored(run)):
                    self.contradictions.append(f"{token!r} was typed at run {there} and came in at run {run}")
        self._figures.echoed += len(arrived)
        if arrived != sorted(set(arrived)):
            self.contradictions.append(f"what was typed came in twice, or in another order: {arrived}")

    # Ends.

    def check_ends(self) -> None:
        """Each end has one reason that fits, and what was ended is told as that."""
        ends = Ends(self._resident.marks(), self._deeds)
        self.contradictions += ends.contradictions
        self._figures.ends += ends.told
        self._figures.ends_unfit += len(ends.contradictions)
        self._figures.ends_alone += ends.alone

    # Recovery.

    def check_recovery(self, within: float) -> None:
        """While nothing hinders it, the console is attached again `within` so many seconds."""
        hindrances = [deed for deed in self._deeds if not deed.kind.attachable]
        spans = self._resident.attached()
        for (_, ended), (back, _) in pairwise([*spans, (inf, inf)]):
            for start, end in _without(ended, back, hindrances):
                self._figures.worst_recovery = max(self._figures.worst_recovery, end - start)
                if end - start > within:
                    self.contradictions.append(f"was not attached for {end - start:.1f} s from {start:.1f} on")


def _without(start: float, end: float, deeds: Sequence[Deed]) -> Iterator[tuple[float, float]]:
    """What is left of a time without those of the deeds."""
    for deed in sorted(deeds, key=lambda deed: deed.began):
        if deed.overlaps(start, end):
            if deed.began > start:
                yield start, deed.began
            start = deed.over
    if start < end:
        yield start, end
