"""What the daemon keeps of its consoles, as it starts."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from virtmuxd.config.instance import Instance
from virtmuxd.config.schema import Config, Kept
from virtmuxd.core.registry import Registry
from virtmuxd.service.runtime import RuntimeDirectory
from virtmuxd.shelf import Shelf


@pytest.mark.parametrize("kept", [Kept.DISK, Kept.MEMORY])
async def test_the_journal_is_looked_for_in_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: Kept
) -> None:
    directory = tmp_path / "journal"
    threads: set[threading.Thread] = set()

    def noted(name: str) -> Any:
        call = getattr(os, name)

        def looked(path: Any, *args: Any, **options: Any) -> Any:
            if not isinstance(path, int) and Path(path).is_relative_to(directory):
                threads.add(threading.current_thread())
            return call(path, *args, **options)

        return looked

    for name in ("stat", "mkdir", "open", "scandir"):
        monkeypatch.setattr(os, name, noted(name))
    runtime = RuntimeDirectory(tmp_path / "run")
    shelf = Shelf(
        Instance.SESSION.settle(Config(journal=kept, journal_directory=str(directory)), os.environ), Registry(), runtime
    )

    await shelf.begin()

    assert shelf.close()
    runtime.close()
    assert threads
    assert threading.current_thread() not in threads
