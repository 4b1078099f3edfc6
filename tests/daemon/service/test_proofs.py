"""Proofs of where a client's reading began."""

import stat
from pathlib import Path

import pytest

from virtmux.records import Position
from virtmuxd.service.proofs import Proofs

HERE = Position("a" * 32, 4103, 2)
ELSEWHERE = "b" * 32
RULES = b"r" * 32


@pytest.fixture
def proofs(tmp_path: Path) -> Proofs:
    return Proofs(tmp_path / "proofs.key", RULES)


def test_a_proof_says_where_the_reading_of_its_user_in_its_history_began(proofs: Proofs, tmp_path: Path) -> None:
    proof = proofs.prove(1000, HERE)

    assert proofs.since(proof, 1000, HERE.history) == HERE
    assert proofs.since(proof, 1001, HERE.history) is None
    assert proofs.since(proof, 1000, ELSEWHERE) is None
    assert Proofs(tmp_path / "other", RULES).since(proof, 1000, HERE.history) is None


@pytest.mark.parametrize(
    "text", [None, "", "::", "0:0:", "0:0", "-1:0:x", "4103:2:x:y", "1e3:2:x", "4103:2:\u0661", "0:0:é"]
)
def test_what_is_no_proof_proves_nothing(proofs: Proofs, text: str | None) -> None:
    assert proofs.since(text, 1000, HERE.history) is None


def test_a_proof_of_another_place_is_none(proofs: Proofs) -> None:
    _, _, signature = proofs.prove(1000, HERE).split(":")

    assert proofs.since(f"0:0:{signature}", 1000, HERE.history) is None


def test_the_key_is_kept_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "proofs.key"
    proof = Proofs(path, RULES).prove(1000, HERE)

    assert Proofs(path, RULES).since(proof, 1000, HERE.history) == HERE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["proofs.key"]


@pytest.mark.parametrize("content", [b"", b"short", bytes(33), bytes(64)])
def test_a_key_that_is_none_is_made_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "proofs.key"
    path.write_bytes(content)
    path.with_suffix(".new").write_bytes(b"left by a crash")

    Proofs(path, RULES)

    assert len(path.read_bytes()) == 64


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o604])
def test_a_key_that_others_may_read_is_made_anew(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "proofs.key"
    proof = Proofs(path, RULES).prove(1000, HERE)
    path.chmod(mode)

    assert Proofs(path, RULES).since(proof, 1000, HERE.history) is None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_with_other_rules_no_former_proof_holds_nor_when_the_rules_are_the_same_again(tmp_path: Path) -> None:
    path = tmp_path / "proofs.key"
    proofs = Proofs(path, RULES)
    proof = proofs.prove(1000, HERE)

    proofs.follow(RULES)
    assert proofs.since(proof, 1000, HERE.history) == HERE
    for rules in (bytes(32), RULES):
        proofs.follow(rules)
        assert proofs.since(proof, 1000, HERE.history) is None


def test_nor_do_they_where_the_rules_changed_while_no_daemon_ran(tmp_path: Path) -> None:
    path = tmp_path / "proofs.key"
    proof = Proofs(path, RULES).prove(1000, HERE)

    assert Proofs(path, bytes(32)).since(proof, 1000, HERE.history) is None
    assert Proofs(path, RULES).since(proof, 1000, HERE.history) is None
