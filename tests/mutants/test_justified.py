"""The list of mutants that make no difference is of code that is there."""

from importlib import import_module
from pathlib import Path

import pytest

from tests.mutants.justified import Justified, justified


@pytest.mark.parametrize("each", justified(), ids=lambda each: f"{each.function}: {each.now}")
def test_what_is_justified_is_in_the_code(each: Justified) -> None:
    lines = Path(str(import_module(each.module).__file__)).read_text().splitlines()

    assert each.was in " ".join(line.strip() for line in lines)
    assert each.why
