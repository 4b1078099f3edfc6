"""What clients are told of ends, and of times in between, the oracle holds against what was done."""

from dataclasses import replace
from math import inf

import pytest

from tests.harness.chaos.deeds import (
    DAEMON_KILLED,
    DESCRIPTORS_EXHAUSTED,
    DESTROY,
    LIBVIRTD_HUNG,
    LIBVIRTD_KILLED,
    LIBVIRTD_SLOW,
    SHUT_DOWN,
    TAKEOVER,
    Kind,
)
from tests.harness.chaos.oracle import Oracle
from tests.harness.chaos.printed import Printed
from tests.harness.chaos.stories import (
    DESTROYED,
    FIRST,
    SECOND,
    STORY,
    attached,
    contradictions,
    deed,
    ended,
    heard,
    missing,
)
from virtmux import Cause


def test_why_a_console_ended_may_be_hidden_while_the_daemon_has_no_descriptors() -> None:
    told = heard((1, attached()), (2, FIRST), (11, ended(Cause.STREAM_ENDED)), (13, missing()), (13, attached(2)))
    story = replace(STORY, printed=Printed(FIRST, [0]), resident=told)
    taken = deed(TAKEOVER, 10, 12)
    assert contradictions(story, taken, deed(DESCRIPTORS_EXHAUSTED, 10, 12)) == []
    assert "ended after takeover" in contradictions(story, taken)[0]


@pytest.mark.parametrize(
    ("kind", "cause"),
    [(DESTROY, Cause.GUEST_SHUTDOWN), (DESTROY, Cause.STREAM_ENDED), (SHUT_DOWN, Cause.GUEST_DESTROYED)],
)
def test_an_end_whose_reason_does_not_fit_is_found(kind: Kind, cause: Cause) -> None:
    told = heard((1, attached()), (2, FIRST), (11, ended(cause)), (13, missing()), (13, attached(2)), (14, SECOND))
    oracle = Oracle([deed(kind, 10, 12)])
    oracle.judge(replace(STORY, resident=told), 15.0)
    (contradiction,) = oracle.contradictions
    assert f"ended after {kind.what}" in contradiction
    assert "ends: 1, 1 contradictions in them" in str(oracle.figures)


def test_a_deed_of_which_nobody_is_told_is_found() -> None:
    told = heard((1, attached()), (2, FIRST + SECOND))
    assert contradictions(replace(STORY, resident=told), DESTROYED) == [f"web1: destroy has not ended {attached()}"]


def test_an_end_that_is_never_told_is_found_although_another_is_told_later() -> None:
    later = deed(DESTROY, 60, 62)
    told = heard(
        (1, attached()),
        (2, FIRST),
        (61, ended(Cause.GUEST_DESTROYED)),
        (63, missing()),
        (63, attached(2)),
        (64, SECOND),
    )
    assert contradictions(replace(STORY, resident=told), DESTROYED, later) == [
        f"web1: destroy has not ended {attached()}"
    ]


def test_what_two_deeds_may_have_ended_may_be_told_as_either() -> None:
    lost = deed(LIBVIRTD_KILLED, 9.5, 9.9)
    told = heard(
        (1, attached()),
        (2, FIRST),
        (11, ended(Cause.HYPERVISOR_LOST)),
        (13, missing()),
        (13, attached(2)),
        (14, SECOND),
    )
    assert contradictions(replace(STORY, resident=told), DESTROYED, lost) == []


def test_what_a_deed_ends_it_ends_once() -> None:
    twice = heard(
        (1, attached()),
        (2, FIRST),
        (11, ended(Cause.GUEST_DESTROYED)),
        (13, missing()),
        (13, attached(2)),
        (14, SECOND),
        (15, ended(Cause.GUEST_DESTROYED, 2)),
        (16, missing()),
        (16, attached(3)),
    )
    (contradiction,) = contradictions(replace(STORY, resident=twice), DESTROYED)
    assert "ended after nothing" in contradiction
    again = deed(DESTROY, 14.5, 15)
    assert contradictions(replace(STORY, resident=twice), DESTROYED, again) == []


def test_what_was_over_before_a_console_was_attached_has_not_ended_it() -> None:
    told = heard((13, attached()), (14, FIRST + SECOND), (15, ended(Cause.GUEST_DESTROYED)), (16, attached(2)))
    assert "ended after nothing" in contradictions(replace(STORY, resident=told), DESTROYED)[0]


def test_an_attachment_ends_once_and_by_its_number() -> None:
    end = ended(Cause.GUEST_DESTROYED)
    told = heard((1, attached()), (2, FIRST + SECOND), (11, end), (11, end), (13, attached(2)))
    assert "an end of attachment 1, which was not there" in contradictions(replace(STORY, resident=told), DESTROYED)[0]
    told = heard((1, attached(3)), (2, FIRST + SECOND), (11, end), (13, attached(4)))
    assert "an end of attachment 1, which was not there" in contradictions(replace(STORY, resident=told), DESTROYED)[0]


@pytest.mark.parametrize(
    ("kind", "cause", "later"),
    [
        (LIBVIRTD_KILLED, Cause.HYPERVISOR_LOST, Cause.HYPERVISOR_TIMEOUT),
        (TAKEOVER, Cause.CONSOLE_TAKEN_OVER, Cause.CONSOLE_BUSY),
    ],
)
def test_what_only_who_waits_may_be_told_is_no_end_of_an_attachment(kind: Kind, cause: Cause, later: Cause) -> None:
    before = (1, attached()), (2, FIRST + SECOND)
    told = heard(*before, (11, ended(cause)), (11, ended(later, None)), (13, missing()), (13, attached(2)))
    assert contradictions(replace(STORY, resident=told), deed(kind, 10, 12)) == []
    told = heard(*before, (11, ended(later)), (13, missing()), (13, attached(2)))
    assert f"ended after {kind.what}" in contradictions(replace(STORY, resident=told), deed(kind, 10, 12))[0]


def test_who_waits_must_be_told_what_is_so() -> None:
    told = heard((1, attached()), (2, FIRST), (11, ended(Cause.GUEST_DESTROYED)), (12, ended(Cause.CONSOLE_BUSY, None)))
    story = replace(STORY, printed=Printed(FIRST, [0, len(FIRST)]), resident=told)
    assert "not to be had after destroy" in contradictions(story, DESTROYED)[0]


def test_a_reason_may_be_missing_where_the_daemon_ended_meanwhile() -> None:
    told = heard(
        (1, attached()),
        (2, FIRST),
        (13, ended(Cause.STREAM_ENDED)),
        (13, missing()),
        (13, attached(2)),
        (14, SECOND),
    )
    story = replace(STORY, resident=told)
    assert contradictions(story, DESTROYED, deed(DAEMON_KILLED, 11, 12.5)) == []
    assert "ended after destroy" in contradictions(story, DESTROYED)[0]
    assert "ended after nothing" in contradictions(story, deed(DAEMON_KILLED, 11, 12.5))[0]


def test_a_console_is_not_broken_off_without_need() -> None:
    told = heard((1, attached()), (2, FIRST), (3, missing()), (3, attached(2)), (4, SECOND))
    story = replace(STORY, resident=told)
    for kind in (DAEMON_KILLED, TAKEOVER, LIBVIRTD_HUNG):
        assert contradictions(story, deed(kind, 2, 3)) == []
    assert "broken off after libvirtd hung for a moment" in contradictions(story, deed(LIBVIRTD_SLOW, 2, 3))[0]
    told = heard((1, attached()), (2, FIRST), (3, attached(2)), (4, SECOND))
    assert "without an end or a break" in contradictions(replace(STORY, resident=told), deed(DAEMON_KILLED, 2, 3))[0]


def test_who_has_taken_a_console_and_has_it_still_is_seen() -> None:
    told = heard(
        (1, attached()), (2, FIRST + SECOND), (11, ended(Cause.STREAM_ERROR)), (13, missing()), (13, attached(2))
    )
    story = replace(STORY, resident=told)
    assert contradictions(story, deed(TAKEOVER, 10, 11.5)) == []
    assert "ended after takeover" in contradictions(story, deed(TAKEOVER, 10, 12.5))[0]
    told = heard((1, attached()), (2, FIRST + SECOND), (13, missing()), (13, attached(2)))
    story = replace(STORY, resident=told)
    assert contradictions(story, deed(TAKEOVER, 10, 11.5)) == []
    assert "broken off after takeover" in contradictions(story, deed(TAKEOVER, 10, 14.5))[0]


def test_what_ends_with_the_daemon_needs_no_other_end() -> None:
    told = heard((1, attached()), (2, FIRST), (30, missing()), (30, attached(2)), (31, SECOND))
    deeds = deed(DAEMON_KILLED, 9, 11), DESTROYED, deed(LIBVIRTD_HUNG, 13, 29)
    assert contradictions(replace(STORY, resident=told), *deeds) == []


def test_a_console_that_does_not_come_back_in_time_is_found() -> None:
    told = heard((1, attached()), (2, FIRST), (11, ended(Cause.GUEST_DESTROYED)), (28, missing()), (28, attached(2)))
    story = replace(STORY, printed=Printed(FIRST, [0, len(FIRST)]), resident=told)
    assert contradictions(story, DESTROYED) == ["web1: was not attached for 16.0 s from 12.0 on"]
    story = replace(story, resident=heard((1, attached()), (2, FIRST), (11, ended(Cause.GUEST_DESTROYED))))
    assert contradictions(story, DESTROYED) == [f"web1: was not attached for {inf} s from 12.0 on"]


def test_a_console_is_attached_until_it_is_broken_off() -> None:
    told = replace(STORY.resident, records=[*STORY.resident.records])
    told.records += heard((40, missing()), (40, attached(3)), start=len(FIRST + SECOND), mark=5).records
    assert contradictions(replace(STORY, resident=told), DESTROYED, deed(TAKEOVER, 39, 39.5)) == []
