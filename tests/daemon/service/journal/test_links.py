"""The links for people: each guest has one, the one that is called so has the plain name, and none leads outside."""

import errno
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.console_files import failing
from virtmux.journal.names import home
from virtmuxd.service.journal.links import Links


def guest(directory: Path, hypervisor: str, uuid: str) -> Path:
    """A guest that has files."""
    place = home(directory, hypervisor, uuid)
    place.mkdir(parents=True, exist_ok=True)
    return place


def links(directory: Path) -> dict[str, str]:
    return {path.name: str(path.readlink()) for path in directory.iterdir() if path.is_symlink()}


def test_a_link_leads_from_the_name_to_the_files(tmp_path: Path) -> None:
    Links(tmp_path).place(guest(tmp_path, "qemu/h", "u1"), "my vm")

    assert links(tmp_path) == {"my vm": "by-id/qemu%2Fh/u1"}
    assert (tmp_path / "my vm").resolve() == home(tmp_path, "qemu/h", "u1").resolve()


def test_a_rename_moves_the_link(tmp_path: Path) -> None:
    place = guest(tmp_path, "h", "u1")
    Links(tmp_path).place(place, "web")

    Links(tmp_path).place(place, "shop")

    assert links(tmp_path) == {"shop": "by-id/h/u1"}


def test_another_guest_of_the_same_name_has_a_longer_one_until_the_plain_one_is_free(tmp_path: Path) -> None:
    first, second = guest(tmp_path, "h", "u1"), guest(tmp_path, "lxc/h", "u2")
    both = Links(tmp_path)
    both.place(first, "web")
    both.place(second, "web")
    both.place(first, "web")
    assert links(tmp_path) == {"web": "by-id/h/u1", "web~lxc%2Fh~u2": "by-id/lxc%2Fh/u2"}

    both.place(first, "shop")

    assert links(tmp_path) == {"shop": "by-id/h/u1", "web": "by-id/lxc%2Fh/u2"}


def test_an_undefined_guest_keeps_its_link_until_its_name_is_taken(tmp_path: Path) -> None:
    first, second = guest(tmp_path, "h", "u1"), guest(tmp_path, "h", "u2")
    both = Links(tmp_path)
    both.place(first, "web")
    both.gone(first)
    assert links(tmp_path) == {"web": "by-id/h/u1"}

    both.place(second, "web")

    assert links(tmp_path) == {"web": "by-id/h/u2", "web~h~u1": "by-id/h/u1"}


def test_the_link_of_a_guest_whose_files_are_gone_is_removed(tmp_path: Path) -> None:
    place = guest(tmp_path, "h", "u1")
    Links(tmp_path).place(place, "web")

    Links(tmp_path).remove(place)

    assert links(tmp_path) == {}


@pytest.mark.parametrize("foreign", ["file", "directory", "link"])
def test_what_somebody_put_there_is_left_alone(tmp_path: Path, foreign: str, caplog: pytest.LogCaptureFixture) -> None:
    place = guest(tmp_path, "h", "u1")
    there = tmp_path / "web"
    match foreign:
        case "file":
            there.write_bytes(b"mine")
        case "directory":
            there.mkdir()
        case _:
            there.symlink_to("/srv/elsewhere")
    before = there.lstat()

    mine = Links(tmp_path)
    for _ in range(3):
        mine.place(place, "web")

    assert there.lstat() == before
    assert (tmp_path / "web~h~u1").resolve() == place.resolve()
    assert len(caplog.records) == 1


def test_a_disk_that_takes_no_link_is_told_and_harms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    place = guest(tmp_path, "h", "u1")
    mine = Links(tmp_path)
    with failing(monkeypatch, "symlink", errno.ENOSPC):
        mine.place(place, "web")
    assert (links(tmp_path), len(caplog.records)) == ({}, 1)

    mine.place(place, "web")

    assert links(tmp_path) == {"web": "by-id/h/u1"}


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["place", "place", "place", "gone", "remove", "restart"]),
            st.integers(0, 3),
            st.text("a/.~%", max_size=3) | st.just("x" * 300) | st.just("by-id"),
        ),
        max_size=25,
    )
)
def test_each_guest_has_one_link_whatever_they_are_called(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, str]]
) -> None:
    directory = tmp_path_factory.mktemp("journal")
    places = [guest(directory, f"{'hypervisor' * 9 * (n % 2)}/h{n}", f"u{n}" * 40) for n in range(4)]
    mine = Links(directory)
    placed: dict[int, str] = {}
    for step, n, name in steps:
        match step:
            case "place":
                mine.place(places[n], name)
                placed[n] = name
            case "gone":
                mine.gone(places[n])
            case "remove":
                mine.remove(places[n])
                placed.pop(n, None)
            case _:
                mine = Links(directory)

        found = [path for path in directory.iterdir() if path.name != "by-id"]
        assert sorted(path.resolve() for path in found) == sorted(places[each].resolve() for each in placed)
        assert all(not str(path.readlink()).startswith("/") for path in found)
