"""Proofs of where a client's reading began, so that it may resume without the right to read history.

A proof is stateless: it names the position and is signed with a key that lies in the runtime directory, so it holds
over restarts of the daemon, for the same user and the same history alone. With other access rules there is another key:
nobody proves the right to what was said while the rules denied that.
"""

import hmac
import os
import secrets
import stat
from pathlib import Path

from virtmux.records import Position

_KEY_SIZE = 32


class Proofs:
    """Makes and checks proofs."""

    def __init__(self, path: Path | None, rules: bytes) -> None:
        """With the key in this file, which is made where there is none for these `rules`, by their fingerprint. None:
        it is kept nowhere.

        Raises:
            OSError: it cannot be read or made.
        """
        self._path = path
        self._rules = rules
        kept = self._kept()
        if kept is None:
            self._renew()
        else:
            self._key = kept

    def follow(self, rules: bytes) -> None:
        """Other access rules may be in force.

        Raises:
            OSError: a new key cannot be kept; it is in use all the same.
        """
        if rules != self._rules:
            self._rules = rules
            self._renew()

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

    def _kept(self) -> bytes | None:
        if self._path is None:
            return None
        try:
            found = self._path.lstat()
        except FileNotFoundError:
            return None
        others = found.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or others:
            return None  # somebody else may know it
        kept = self._path.read_bytes()
        return kept[:_KEY_SIZE] if kept[_KEY_SIZE:] == self._rules else None

    def _renew(self) -> None:
        self._key = secrets.token_bytes(_KEY_SIZE)
        if self._path is None:
            return
        fresh = self._path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        fresh.touch(0o600)
        fresh.write_bytes(self._key + self._rules)
        fresh.rename(self._path)
