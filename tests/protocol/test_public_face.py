"""What `import virtmux` gives, and what it costs."""

import subprocess
import sys

import virtmux


def test_every_public_name_can_be_had() -> None:
    for name in virtmux.__all__:
        assert getattr(virtmux, name) is not None


def test_the_wire_is_light() -> None:
    script = "import sys, virtmux.wire; print(*{'asyncio', 'virtmux.client', 'virtmux.messages'} & set(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert run.stdout.split() == []
