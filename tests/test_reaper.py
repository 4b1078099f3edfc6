"""The tests' own init: it collects what a command leaves behind, and ends it with the tests."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.harness.privilege import wait_for_exit
from tests.harness.processes import REAPER

SECONDS = 10.0


@contextmanager
def reaping(script: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, str(REAPER), "sh", "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reaper:
        try:
            yield reaper
        finally:
            reaper.kill()


def test_it_ends_after_the_last_that_was_left_behind() -> None:
    with reaping("(sleep 0.2; echo last) & exit") as reaper:
        assert reaper.stdout is not None
        assert reaper.stdout.read() == "last\n"
        assert reaper.wait(SECONDS) == 0


def test_at_the_end_of_its_stdin_it_ends_all_that_is_left() -> None:
    # A stopped one, one in a session of its own, and one whose parent has gone already.
    script = """
        setsid sh -c 'echo $$; exec sleep 1000' &
        sh -c 'echo $$; kill -STOP $$' &
        (sh -c 'echo $$; exec sleep 1000' &)
        wait
    """
    with reaping(script) as reaper:
        assert reaper.stdin is not None
        assert reaper.stdout is not None
        left = [int(reaper.stdout.readline()) for _ in range(3)]
        reaper.stdin.close()
        assert reaper.wait(SECONDS) == 0
        assert all(wait_for_exit(pid, SECONDS) for pid in left)
