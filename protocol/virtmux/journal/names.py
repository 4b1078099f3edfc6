"""The names of the journal's files and links. Touches no file.

Domains and devices may be called anything; what stands for them in a path is one component of at most 200 bytes, never
`.` or `..`, without a leading dash or dot, and never the same for two of them.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

#: The journal of the system's daemon.
SYSTEM_DIRECTORY = Path("/var/log/virtmux")
#: Where the files lie; a domain of that name is called otherwise.
BY_ID = "by-id"
LOG, INDEX = ".log", ".idx"

_MOST_BYTES = 200
_DIGEST = 32


def user_directory(environ: Mapping[str, str]) -> Path:
    """Where a user's own daemon keeps its journal: in the XDG state directory."""
    state = environ.get("XDG_STATE_HOME")
    base = Path(state) if state and state.startswith("/") else Path(environ.get("HOME") or "/") / ".local" / "state"
    return base / "virtmux"


def journal_directories(environ: Mapping[str, str]) -> list[Path]:
    """Where a journal is looked for: at VIRTMUX_JOURNAL, or else in the system's place and the user's."""
    if named := environ.get("VIRTMUX_JOURNAL"):
        return [Path(named)]
    return [SYSTEM_DIRECTORY, user_directory(environ)]


def component(name: str) -> str:
    """A name as a path component: what cannot stand there is written as %XX, for each byte of its UTF-8.

    A `~` never comes out of this, so that it can join two of them. One that is too long ends in a digest instead.
    """
    text = "".join(char if char.isprintable() and char not in "/%~" else _quoted(char) for char in name)
    if not text or text[0] in ".-" or text == BY_ID:
        text = _quoted(text[:1]) + text[1:]
    if len(text.encode()) <= _MOST_BYTES:
        return text
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:_DIGEST]
    kept = text.encode()[: _MOST_BYTES - _DIGEST - 2].decode(errors="ignore")
    return f"{re.sub('%[0-9A-F]?$', '', kept)}%={digest}"


def original(text: str) -> str | None:
    """The name that `component` wrote so; None where none is, or nothing but a digest of it is left."""
    try:
        raw = re.sub(rb"%([0-9A-F]{2})", lambda quoted: bytes.fromhex(quoted[1].decode()), text.encode())
        name = "" if text == "%" else raw.decode(errors="surrogatepass")
    except UnicodeError:
        return None
    return name if component(name) == text else None


def _quoted(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode(errors="surrogatepass")) or "%"


def home(directory: Path, hypervisor: str, uuid: str) -> Path:
    """Where the files of a domain lie."""
    return directory / BY_ID / component(hypervisor) / component(uuid)
