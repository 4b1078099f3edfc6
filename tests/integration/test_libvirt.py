"""The real libvirts behave as virtmuxd relies on it, and as the fake one of the unit tests does: QEMU's driver behind
libvirtd, the same within the process, and containers."""

import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.container import container
from tests.harness.domain_xml import boot_sector_xml
from tests.harness.guest import boot_sector_guest
from tests.harness.libvirt_behaviours import BEHAVIOURS
from tests.harness.libvirt_player import Play
from tests.harness.libvirtd import CACHE, PREPARE, QEMU_CONF, Libvirtd
from tests.harness.privilege import run_as_root

EMBED = PREPARE + 'lay "$cache" "$base/cache"\nshift 2\nexec "$@"\n'


@pytest.fixture(scope="module")
def system(libvirtd: Libvirtd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    play = Play(tmp_path_factory.mktemp("system"), libvirtd.uri, boot_sector_guest(libvirtd).xml, libvirtd.through)
    yield play
    play.close()


@pytest.fixture(scope="module")
def embed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    base = Path(tempfile.mkdtemp(prefix="vmx-"))  # the socket of a guest's monitor is in it, and has a short name
    (base / "etc").mkdir()
    (base / "etc" / "qemu.conf").write_text(QEMU_CONF)
    CACHE.mkdir(parents=True, exist_ok=True)
    through: list[str | Path] = ["unshare", "--mount", "sh", "-c", EMBED, "sh", base, CACHE]
    xml = boot_sector_xml("vmx-embedded", uuid.uuid4())
    play = Play(tmp_path_factory.mktemp("embed"), f"qemu:///embed?root={base}", xml, through)
    try:
        yield play
    finally:
        play.close()
        run_as_root("rm", "-rf", "--one-file-system", base)


@pytest.fixture(scope="module")
def containers(lxc: Libvirtd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    play = Play(tmp_path_factory.mktemp("lxc"), lxc.uri, container(lxc).xml, lxc.through)
    yield play
    play.close()


def check(play: Play, name: str) -> None:
    verdict = play.verdict(name)
    if verdict is not None:
        pytest.fail(verdict, pytrace=False)


def over_rpc(*, exclusive: bool) -> list[object]:
    """The names of what is put to a libvirtd."""
    names = BEHAVIOURS.of(remote=True, exclusive=exclusive).items()
    return [
        pytest.param(name, marks=pytest.mark.ends_before_its_input if each.behind_the_end else ())
        for name, each in names
    ]


@pytest.mark.parametrize("name", over_rpc(exclusive=True))
def test_qemu_behind_libvirtd(system: Play, name: str) -> None:
    check(system, name)


@pytest.mark.parametrize("name", BEHAVIOURS.of(remote=False, exclusive=True))
def test_qemu_in_the_process(embed: Play, name: str) -> None:
    check(embed, name)


@pytest.mark.where_it_can_be_had
@pytest.mark.parametrize("name", over_rpc(exclusive=False))
def test_containers(containers: Play, name: str) -> None:
    check(containers, name)
