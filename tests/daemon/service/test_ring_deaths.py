"""A death at any moment leaves only truth behind in the files of a ring."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import CodeType

import pytest

from tests.harness.deaths import deaths
from tests.harness.rings import BOOT, full, opened
from tests.harness.stores import contents, note, pattern
from virtmuxd.core.store import MAX_MARKS
from virtmuxd.service import ring as ring_module
from virtmuxd.service import ring_files, ring_header, ring_marks

#: Long, and storing nothing: to die there is to die before it.
_READING = ("find", "_read", "_find", "verify", "_fit", "<listcomp>", "<dictcomp>", "<genexpr>")
_STORING = tuple(module.__file__ for module in (ring_module, ring_files, ring_header, ring_marks))


def _is_tried(code: CodeType) -> bool:
    return code.co_filename in _STORING and code.co_name not in _READING


@pytest.mark.parametrize(
    ("before", "size"),
    [(0, 5), (16380, 4), (16380, 5), (16384, 40000), (50000, 20000), (65536, 1), (70000, 65536), (70000, 100000)],
)
def test_a_death_within_an_append_leaves_only_true_bytes_and_keeps_all_that_was_committed(
    tmp_path: Path, before: int, size: int
) -> None:
    limit = 65536
    sent = pattern(before, 1 << 20) + pattern(size)
    names = iter(range(10**6))
    path = tmp_path / "none"

    def prepare() -> Callable[[], object]:
        nonlocal path
        path = tmp_path / f"ring{next(names)}"
        ring = opened(path, limit=limit)
        for begin in range(0, before, 8192):
            ring.append(sent[begin : min(begin + 8192, before)], 1)
        return lambda: ring.append(sent[before:], 2)

    for _ in deaths(prepare, _is_tried, beyond=5):
        found = opened(path, limit=limit)
        assert found.end >= before
        assert contents(found) == sent[found.start : found.end]
        found.append(b"on it goes", 3)
        assert contents(opened(path, limit=limit)).endswith(b"on it goes")


@pytest.mark.parametrize("before", [16384, 20000, 32768, 40000])
def test_a_death_while_a_ring_grows_that_has_wrapped_leaves_all_that_it_held(tmp_path: Path, before: int) -> None:
    sent = pattern(before + 30000)
    names = iter(range(10**6))
    path = tmp_path / "none"

    def prepare() -> Callable[[], object]:
        nonlocal path
        path = tmp_path / f"ring{next(names)}"
        ring = opened(path)
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(os, "posix_fallocate", full)
            ring.append(sent[:before], 1)
        return lambda: ring.append(sent[before:], 1 + ring_module._ASK_AGAIN)

    for _ in deaths(prepare, _is_tried, beyond=5):
        found = opened(path)
        assert contents(found) == sent[found.start : found.end]
        assert found.end >= before
        assert found.start == max(0, before - 16384)


def test_a_death_while_the_newer_marks_become_the_older_loses_none(tmp_path: Path) -> None:
    path, full = tmp_path / "ring", 2 * MAX_MARKS
    last = note(full + 1)

    def prepare() -> Callable[[], object]:
        for file in tmp_path.iterdir():
            file.unlink()
        ring = opened(path)
        for number in range(1, full + 1):
            ring.put_mark(note(number))
        return lambda: ring.put_mark(last)

    newest = [note(number) for number in range(full - MAX_MARKS + 1, full + 1)]
    for _ in deaths(prepare, _is_tried, beyond=5):
        assert opened(path).found_marks() in (newest, [*newest[1:], last])
        opened(path).put_mark(note(full + 2))
        assert opened(path).found_marks()[-1] == note(full + 2)


def test_a_death_while_a_ring_is_made_leaves_one_that_can_be_made_or_used(tmp_path: Path) -> None:
    path = tmp_path / "ring"

    for _ in deaths(lambda: partial(opened, path, boot=BOOT), _is_tried):
        ring = opened(path)
        ring.append(b"login: ", 1)
        assert contents(opened(path)) == b"login: "
        for file in tmp_path.iterdir():
            file.unlink()


def test_a_death_while_a_ring_moves_leaves_it_whole_at_one_of_the_two_names(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    history = ""

    def prepare() -> Callable[[], object]:
        nonlocal history
        ring = opened(here)
        ring.append(b"login: ", 1)
        ring.put_mark(note(1))
        history = ring.history
        return lambda: ring.move(there)

    for _ in deaths(prepare, _is_tried, beyond=3):
        found = {path.name: opened(path) for path in (here, there)}
        (whole,) = [ring for ring in found.values() if ring.history == history]
        assert contents(whole) == b"login: "
        assert whole.found_marks() == [note(1)]
        for file in tmp_path.iterdir():
            file.unlink()
