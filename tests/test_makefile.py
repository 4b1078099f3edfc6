"""The Makefile: what its targets run, in a clone that was not set up before."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: In the place of tools/setup, and of all that it makes.
_SET_UP = """\
#!/bin/sh -e
mkdir -p .venv/bin
for name in python3 ruff mypy lint-imports; do
    printf '#!/bin/sh\\n' >.venv/bin/$name
    chmod +x .venv/bin/$name
done
"""
_NOT_THIS = "#!/bin/sh\necho >&2 the one on PATH runs\nexit 1\n"


@pytest.mark.parametrize(
    "target", ["demo", "test", "repeat", "chaos", "soak", "soak-bytes", "fuzz", "mutants", "bench", "lock", "stranger"]
)
def test_who_sets_up_runs_what_was_set_up(target: str, tmp_path: Path) -> None:
    """make fills in the variables of all lines of a recipe before it runs the first."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name, script in (("tools/setup", _SET_UP), ("path/python3", _NOT_THIS), ("path/ruff", _NOT_THIS)):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(script)
        path.chmod(0o755)
    subprocess.run(
        ["make", target],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path / 'path'}{os.pathsep}{os.environ['PATH']}"},
        check=True,
        timeout=60,
    )
