"""Proofs of where a client's reading began, so that it may resume without the right to read history.

A proof is stateless: it names the position and is signed with a key that lies in the runtime directory, so it holds
over restarts of the daemon, for the same user and the same history alone.
"""

import hmac
import secrets
from pathlib import Path

from virtmux.records import Position

_KEY_SIZE = 32


class Proofs:
    """Makes and checks proofs."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def kept_in(cls, path: Path) -> "Proofs":
        """With the key in this file, which is made where there is none that can be used.

        Raises:
            OSError: it cannot be read or made.
        """
        try:
            key = path.read_bytes()
        except FileNotFoundError:
            key = b""
        if len(key) != _KEY_SIZE:
            key = secrets.token_bytes(_KEY_SIZE)
            fresh = path.with_suffix(".new")
            fresh.unlink(missing_ok=True)
            fresh.touch(0o600)
            fresh.write_bytes(key)
            fresh.rename(path)
        return cls(key)

    def prove(self, uid: int, since: Position) -> str:
        """The proof that this user's reading began there."""
        return f"{since.offset}:{since.mark}:{self._sign(uid, since)}"

    def since(self, proof: str | None, uid: int, history: str) -> Position | None:
        """Where the reading of this user in this history began; None where the proof is no such one."""
        try:
            offset, mark, signature = (proof or "").split(":")
            since = Position.parse(f"{history}:{offset}:{mark}")
        except ValueError:
            return None
        return since if hmac.compare_digest(signature.encode(), self._sign(uid, since).encode()) else None

    def _sign(self, uid: int, since: Position) -> str:
        return hmac.digest(self._key, f"{uid}:{since}".encode(), "sha256").hex()
