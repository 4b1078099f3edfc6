"""libvirt's errors, saved."""

import libvirt
import msgspec
import pytest

from virtmuxd.hypervisor.errors import save, unreadable


def error(*facts: object) -> libvirt.libvirtError:
    """An error as libvirt's binding raises it."""
    raised = libvirt.libvirtError("raised")
    raised.err = facts or None
    return raised


def test_everything_that_libvirt_says_is_kept() -> None:
    saved = save(error(38, 7, "End of file", 2, "one", "two", None, 5, -1), "virStreamRecv")

    assert (saved.code, saved.code_name) == (38, "VIR_ERR_SYSTEM_ERROR")
    assert (saved.domain, saved.domain_name) == (7, "VIR_FROM_RPC")
    assert (saved.level, saved.message, saved.api) == (2, "End of file", "virStreamRecv")
    assert (saved.str1, saved.str2, saved.str3, saved.int1, saved.int2) == ("one", "two", None, 5, -1)


def test_codes_that_share_a_number_with_a_severity_have_their_own_names() -> None:
    names = [save(error(code, 0, "", 2, None, None, None, -1, -1), "").code_name for code in range(3)]

    assert names == ["VIR_ERR_OK", "VIR_ERR_INTERNAL_ERROR", "VIR_ERR_NO_MEMORY"]


def test_every_code_that_libvirt_has_is_named() -> None:
    for name, code in vars(libvirt).items():
        if name.startswith("VIR_ERR_") and name not in ("VIR_ERR_NONE", "VIR_ERR_WARNING", "VIR_ERR_ERROR"):
            assert save(error(code, 0, "", 2, None, None, None, -1, -1), "").code_name == name


def test_numbers_that_are_not_known_are_kept() -> None:
    saved = save(error(9999, 8888, "new", 2, None, None, None, -1, -1), "")

    assert (saved.code, saved.code_name, saved.domain, saved.domain_name) == (9999, "unknown", 8888, "unknown")


def test_an_error_that_was_reset_meanwhile_is_still_one() -> None:
    saved = save(error(), "virStreamRecv")

    assert (saved.code, saved.message, saved.api) == (-1, "raised", "virStreamRecv")
    msgspec.json.encode(saved)


def test_what_was_given_without_an_error_does_not_take_the_last_one_of_its_thread() -> None:
    with pytest.raises(libvirt.libvirtError):
        libvirt.open("test:///nonexistent")

    saved = unreadable("the hypervisor took no input in time", "virStreamSend")

    assert (saved.code, saved.domain, saved.api) == (-1, 0, "virStreamSend")
    assert saved.message == "the hypervisor took no input in time"


def test_long_texts_are_cut() -> None:
    saved = save(error(1, 0, "x" * 100_000, 2, "y" * 100_000, None, None, -1, -1), "")

    assert len(saved.message) == len(saved.str1 or "") == 512
    assert saved.message.endswith("…")


def test_a_missing_text_is_an_empty_one() -> None:
    assert save(error(1, 0, None, 2, None, None, None, -1, -1), "").message == ""
