"""One target under atheris, which looks for inputs that lead to new code.

    python3 -m tests.fuzz.guided TARGET PROGRAM OPTION... DIRECTORY...

The options, and the directories behind them, are libFuzzer's; PROGRAM is what it starts where it needs another of
itself. `python3 -m tests.fuzz` runs this for each target.
"""

import logging
import sys

import atheris

with atheris.instrument_imports(include=["virtmux", "virtmuxd", "virtmux_cli"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Run until libFuzzer's options say so, or something is found."""
    _, name, *arguments = sys.argv
    logging.disable()
    atheris.Setup(arguments, TARGETS[name].run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
