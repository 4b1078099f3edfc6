"""A terminal emulator: pyte, and what pyte does not know of xterm's and kitty's modes. It judges what a program leaves.

It reads sequences by rules of its own, not by those of the code under test.
"""

import codecs
import re
from typing import Any, NamedTuple

import pyte
import pyte.modes

COLUMNS, LINES = 80, 24

#: What puts the set G0 to use.
_G0 = "\x0f"
_ALTERNATE = {47, 1047, 1049}
_PYTES = {6, 7, 25}
_PIECE = re.compile(
    r"\x1b\[(?P<csi>[<-?]?[0-9;:]*[ -/]*[@-~])|\x1b\](?P<osc>.*?)(?:\x07|\x1b\\)|\x1b(?P<esc>[()][0-9A-Z]|[^\[\]])"
    r"|(?P<shift>[\x0e\x0f])|(?P<text>[^\x1b\x0e\x0f]+)",
    re.DOTALL,
)
_OPEN = re.compile(r"\x1b(?:\[[<-?]?[0-9;:]*[ -/]*|\](?:(?!\x1b\\)[^\x07])*|[()])?\Z", re.DOTALL)


class Facts(NamedTuple):
    """All that a program can leave behind but text."""

    alternate: bool
    modes: frozenset[str]
    attributes: tuple[Any, ...]
    margins: Any
    sets: tuple[str, str, str]
    keypad: bool
    shape: str
    keyboards: tuple[tuple[str, ...], tuple[str, ...]]
    key_formats: tuple[tuple[str, str], ...]
    title: str
    titles_kept: int
    link: str
    colours: tuple[tuple[str, str], ...]


class _Screen(pyte.Screen):
    """pyte's, of which older ones do not let go of the margins where a `CSI r` has no parameters."""

    def set_margins(self, top: int | None = None, bottom: int | None = None) -> None:
        super().set_margins(top or None, bottom or None)


class Emulator:
    """What the bytes that it is fed make of a screen."""

    def __init__(self) -> None:
        self._main = _Screen(COLUMNS, LINES)
        self._screen = self._main
        self._stream = pyte.Stream(self._screen)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._modes = {"?7", "?25"}
        self._kept_modes: dict[int, bool] = {}
        self._saved: tuple[int, int, Any, list[str], str] = (0, 0, self._main.cursor.attrs, ["B", "B"], _G0)
        self._sets = ["B", "B"]
        self._shift = _G0
        self._keypad = False
        self._shape = self._link = ""
        self._saved_pen = (self._main.cursor.attrs, ("B", "B"), _G0)
        self._keyboards: tuple[list[str], list[str]] = ([], [])
        self._key_formats: dict[str, str] = {}
        self._title = "the terminal's own"
        self._titles: list[str] = []
        self._colours: dict[str, str] = {}

    def write(self, data: bytes) -> None:
        """Take what a program writes; named so that it may be pexpect's log."""
        text = self._held + self._decoder.decode(data)
        open_ = _OPEN.search(text)
        self._held = text[open_.start() :] if open_ else ""
        for piece in _PIECE.finditer(text[: len(text) - len(self._held)]):
            self._take(piece)

    def flush(self) -> None:
        """For pexpect."""

    @property
    def lines(self) -> list[str]:
        """What is to be seen, without empty lines at the end and spaces behind others."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip("\n").split("\n")

    @property
    def cells(self) -> list[list[Any]]:
        """The same with colours and attributes, all of it."""
        return [[self._screen.buffer[line][column] for column in range(COLUMNS)] for line in range(LINES)]

    @property
    def cursor(self) -> tuple[int, int]:
        """Line and column, from 0."""
        return self._screen.cursor.y, self._screen.cursor.x

    @property
    def facts(self) -> Facts:
        """See there."""
        return Facts(
            alternate=self._screen is not self._main,
            modes=frozenset(self._modes),
            attributes=tuple(self._screen.cursor.attrs),
            margins=self._screen.margins,
            sets=(*self._sets, self._shift),  # type: ignore[arg-type]
            keypad=self._keypad,
            shape=self._shape,
            keyboards=(tuple(self._keyboards[0]), tuple(self._keyboards[1])),
            key_formats=tuple(self._key_formats.items()),
            title=self._title,
            titles_kept=len(self._titles),
            link=self._link,
            colours=tuple(self._colours.items()),
        )

    def _take(self, piece: re.Match[str]) -> None:
        kind, value = piece.lastgroup, piece[piece.lastgroup or 0]
        if kind == "text":
            self._stream.feed(value)
        elif kind == "shift":
            self._shift = value
        elif kind == "csi":
            self._take_csi(value, piece[0])
        elif kind == "osc":
            self._take_osc(*value.partition(";")[::2])
        else:
            self._take_escape(value, piece[0])

    def _take_csi(self, value: str, whole: str) -> None:
        if found := re.fullmatch(r"(\??)([0-9;]*)([hl])", value):
            for number in found[2].split(";"):
                self._switch(found[1], int(number), on=found[3] == "h")
        elif found := re.fullmatch(r"\?([0-9;]+)([rs])", value):
            for number in map(int, found[1].split(";")):
                if found[2] == "s":
                    self._kept_modes[number] = self._is_on(number)
                else:
                    self._switch("?", number, on=self._kept_modes.get(number, False))
        elif found := re.fullmatch(r"(\d*) q", value):
            self._shape = found[1].strip("0")
        elif found := re.fullmatch(r">(\d+)(?:;(\d*))?m", value):
            self._key_formats[found[1]] = found[2] or "0"
            if found[2] in {None, "0"}:
                del self._key_formats[found[1]]
        elif found := re.fullmatch(r"([<>=])([0-9;]*)u", value):
            self._take_keyboard(found[1], found[2])
        elif found := re.fullmatch(r"(2[23])(?:;\d*)?t", value):
            self._take_title(found[1])
        elif re.fullmatch(r"[0-9;]*[A-Za-z@`]", value):
            self._stream.feed(whole)

    def _switch(self, prefix: str, number: int, *, on: bool) -> None:
        mode = f"{prefix}{number}"
        (self._modes.add if on else self._modes.discard)(mode)
        if prefix and number in _ALTERNATE:
            self._modes.discard(mode)
            self._show(alternate=on, saved=number == 1049)
        elif number in ({4, 20} if not prefix else _PYTES):
            self._stream.feed(f"\x1b[{mode}{'h' if on else 'l'}")

    def _is_on(self, number: int) -> bool:
        return self._screen is not self._main if number in _ALTERNATE else f"?{number}" in self._modes

    def _show(self, *, alternate: bool, saved: bool) -> None:
        """Switch between the screens. The cursor and all that it writes with are `saved` on the way there and had
        again on the way back, or stay as they are."""
        left = self._screen
        if alternate == (left is not self._main):
            return
        if alternate:
            self._saved = (left.cursor.y, left.cursor.x, left.cursor.attrs, [*self._sets], self._shift)
        self._screen = _Screen(COLUMNS, LINES) if alternate else self._main
        self._screen.mode, self._screen.margins = left.mode, left.margins
        self._screen.cursor.attrs = left.cursor.attrs
        self._screen.cursor.y, self._screen.cursor.x = left.cursor.y, left.cursor.x
        if not alternate:
            self._keyboards[1].clear()
        if saved and not alternate:
            self._screen.cursor.y, self._screen.cursor.x, self._screen.cursor.attrs = self._saved[:3]
            self._sets, self._shift = [*self._saved[3]], self._saved[4]
        self._stream = pyte.Stream(self._screen)

    def _take_keyboard(self, what: str, parameters: str) -> None:
        pushed = self._keyboards[self._screen is not self._main]
        if what == ">":
            pushed.append(parameters)
        elif what == "<":
            del pushed[max(0, len(pushed) - int(parameters or 1)) :]

    def _take_title(self, what: str) -> None:
        if what == "22":
            self._titles.append(self._title)
        elif self._titles:
            self._title = self._titles.pop()

    def _take_osc(self, number: str, text: str) -> None:
        if number in {"0", "2"}:
            self._title = text
        elif number == "8":
            self._link = text.partition(";")[2]
        elif number in {"10", "11", "12", "4"}:
            self._colours[number] = text
        elif number in {"110", "111", "112", "104"}:
            self._colours.pop(str(int(number) - 100), None)

    def _take_escape(self, value: str, whole: str) -> None:
        if value[0] in "()":
            self._sets["()".index(value[0])] = value[1]
        elif value in "no":
            self._shift = value
        elif value in "=>":
            self._keypad = value == "="
        elif value in "78MDEc":
            self._stream.feed(whole)
        if value == "7":
            self._saved_pen = (self._screen.cursor.attrs, (self._sets[0], self._sets[1]), self._shift)
        elif value == "8":
            self._screen.cursor.attrs, sets, self._shift = self._saved_pen
            self._sets = [*sets]
