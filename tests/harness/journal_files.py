"""A second reader of the journal's files, which shares no code with the writer: what they say, checked on the way."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crc32c import crc32c


@dataclass
class Story:
    """What is there of one history: bytes by offset, marks by number, and the ranges that are said to be lost."""

    spans: list[tuple[int, bytes]] = field(default_factory=list)
    marks: dict[int, int] = field(default_factory=dict)
    lost: list[tuple[int, int, str]] = field(default_factory=list)

    def held(self, *, once: bool = True) -> dict[int, int]:
        """Each byte that is there by its offset; `once`: and each of them is there once."""
        held: dict[int, int] = {}
        for offset, data in self.spans:
            for at, byte in enumerate(data, offset):
                assert held.get(at, byte) == byte, f"address {at} is used twice"
                assert at not in held or not once, f"the byte at {at} is there twice"
                held[at] = byte
        return held


def lines(index: Path) -> list[dict[str, Any]]:
    """The objects of an index, up to the first line that does not verify."""
    found = []
    for line in index.read_bytes().split(b"\n")[:-1]:
        if line[8:9] != b" " or b"%08x" % crc32c(line[9:]) != line[:8]:
            break
        found.append(json.loads(line[9:]))
    return found


def read(home: Path, device: str = "serial0") -> dict[str, Story]:
    """All that can be read of a console, the oldest segment first."""
    stories: dict[str, Story] = {}
    pattern = re.compile(re.escape(device) + r"(?:~[^.]*)?\.idx(?:\.(\d+))?")
    found = [match for path in home.glob("*") if (match := pattern.fullmatch(path.name))]
    for match in sorted(found, key=lambda match: -int(match[1] or -1)):
        _read_segment(home / match.string, stories)
    return stories


def _read_segment(index: Path, stories: dict[str, Story]) -> None:
    head, *entries = lines(index) or [{}]
    if not head:
        return
    assert head["entry"] == "head"
    story = stories.setdefault(head["history"], Story())
    log = _log(index, head["inode"])
    at = 0
    for entry in entries:
        match entry["entry"]:
            case "batch":
                data = log[at : at + entry["size"]]
                at += entry["size"]
                assert sum(size for size, _ in entry["beats"]) == entry["size"]
                if len(data) == entry["size"] and crc32c(data) != entry["crc"]:
                    continue  # somebody changed it
                if data:
                    story.spans.append((entry["offset"], data))
            case "mark":
                assert story.marks.setdefault(entry["number"], entry["offset"]) == entry["offset"]
            case "lost":
                story.lost.append((entry["offset"], entry["to_offset"], entry["why"]))
            case _:
                pass


def _log(index: Path, inode: int) -> bytes:
    stem = index.name.rpartition(".idx")[0]
    logs = [path for path in index.parent.iterdir() if path.name.startswith(stem + ".log") and _is_file(path)]
    own = [path for path in logs if path.stat().st_ino == inode]
    if not own:
        own = [index.with_name(index.name.replace(".idx", ".log"))]
    return own[0].read_bytes() if _is_file(own[0]) else b""


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
