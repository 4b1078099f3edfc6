"""Globs over consoles."""

from virtmux_cli.globs import fit

WEB1 = "web1", "serial0", "8afb79fd-53b9-4b71-b275-8313940c1c1e"


def test_globs_fit_the_domain_the_console_or_the_uuid() -> None:
    assert fit([], *WEB1)
    assert fit(["db*", "web?"], *WEB1)
    assert fit(["*:serial0"], *WEB1)
    assert fit([WEB1[2]], *WEB1)
    assert not fit(["web"], *WEB1)
    assert not fit(["*:serial1"], *WEB1)
