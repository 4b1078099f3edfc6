"""libvirt's errors, saved at the moment of failure: later calls reset what libvirt remembers of them."""

from types import TracebackType

import libvirt

from virtmux.reasons import SavedError

#: Longest text kept of an error, in characters: a Reason has to fit into a message several times over.
_MAX_TEXT = 512
#: Bytes that are told before and behind one that cannot be read.
_AROUND = 40


def _names(prefix: str) -> dict[int, str]:
    return {value: name for name, value in vars(libvirt).items() if name.startswith(prefix) and isinstance(value, int)}


_CODES = _names("VIR_ERR_")
# The severities share the prefix of the codes.
_CODES.update({libvirt.VIR_ERR_OK: "VIR_ERR_OK", libvirt.VIR_ERR_INTERNAL_ERROR: "VIR_ERR_INTERNAL_ERROR"})
_CODES[libvirt.VIR_ERR_NO_MEMORY] = "VIR_ERR_NO_MEMORY"
_DOMAINS = _names("VIR_FROM_")


class CallFailed(Exception):  # noqa: N818  # it names what happened, as libvirt's own error does
    """A libvirt call failed; `error` is what libvirt said, saved at once."""

    def __init__(self, error: SavedError) -> None:
        super().__init__(error.message)
        self.error = error


class DeadlineMissed(Exception):  # noqa: N818
    """A libvirt call did not return in time; its connection has been cut. `api` names the call."""

    def __init__(self, api: str) -> None:
        super().__init__(f"{api} did not return in time")
        self.api = api


#: As the binding gives an error: code, domain, message, level, str1 to str3, int1 and int2.
_Facts = tuple[int, int, str | None, int, str | None, str | None, str | None, int, int]


def save(error: libvirt.libvirtError, api: str) -> SavedError:
    """Keep what `error` says; `api` is the C name of the call.

    `libvirtError.err` may be None where another call has reset libvirt's last error in between.
    """
    return unreadable(str(error), api) if error.err is None else _saved(error.err, api)


def unreadable(message: str, api: str) -> SavedError:
    """The error for what libvirt gave without one, and nobody can make sense of.

    It is made of no `libvirtError`: that would take what this thread's last call failed with, whatever that was.
    """
    return _saved((-1, libvirt.VIR_FROM_NONE, message, libvirt.VIR_ERR_ERROR, None, None, None, -1, -1), api)


def undecodable(error: UnicodeDecodeError, api: str) -> SavedError:
    """The error for a text that is no UTF-8, which the binding cannot read: libvirt lets a domain be renamed to any
    bytes. What stands around it is told."""
    said = error.object[max(0, error.start - _AROUND) : error.end + _AROUND]
    return unreadable(f"libvirt says something that is no UTF-8: {said!r}", api)


def _saved(facts: _Facts, api: str) -> SavedError:
    code, domain, message, level, str1, str2, str3, int1, int2 = facts
    return SavedError(
        code=code,
        code_name=_CODES.get(code, "unknown"),
        domain=domain,
        domain_name=_DOMAINS.get(domain, "unknown"),
        level=level,
        message=_cut(message) or "",
        str1=_cut(str1),
        str2=_cut(str2),
        str3=_cut(str3),
        int1=int1,
        int2=int2,
        api=api,
    )


class named:  # noqa: N801  # it is used as a function
    """Within a function that makes several calls: save the error of this one under its own name.

    Raises:
        CallFailed: it failed.
    """

    __slots__ = ("_api",)

    def __init__(self, api: str) -> None:
        self._api = api

    def __enter__(self) -> None:
        """The call follows."""

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _at: TracebackType | None
    ) -> None:
        if isinstance(error, libvirt.libvirtError):
            raise CallFailed(save(error, self._api)) from None


def _cut(text: str | None) -> str | None:
    return text if text is None or len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"


def keep_off_stderr() -> None:
    """Keep libvirt from printing every error to stderr."""
    libvirt.registerErrorHandler(_ignore, None)


def _ignore(_context: None, _error: object) -> None:
    """Errors reach us as exceptions."""
