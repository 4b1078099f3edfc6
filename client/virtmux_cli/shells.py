"""Completion in bash, zsh and fish: click's, for names that hold colons, commas, blanks and quotes.

bash breaks words at colons, and inserts what it is given as it is: so it is asked with the line as it was typed, and
given words in which what is special to a shell is escaped, from behind the last colon that it broke at. zsh and fish
escape by themselves.
"""

import os
import re

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

_BASH = """\
%(complete_func)s() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
        file,*) compopt -o default ;;
        dir,*) compopt -o dirnames ;;
        plain,*) COMPREPLY+=("${line#plain,}") ;;
        esac
    done < <(COMP_LINE=${COMP_LINE:0:COMP_POINT} COMP_WORDBREAKS=$COMP_WORDBREAKS %(complete_var)s=bash_complete \
"$1" 2>/dev/null)
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""
_FISH = FishComplete.source_template.replace('string split ","', 'string split --max 1 ","').replace(
    "%(prog_name)s);", "%(prog_name)s 2>/dev/null);", 1
)
_ZSH = ZshComplete.source_template.replace('%(prog_name)s)}")', '%(prog_name)s 2>/dev/null)}")')
#: Stands for the cursor: no word holds it.
_CURSOR = "\x01"
_SPECIAL = re.compile(r"([^\w@%+=:,./-])")
_SPECIAL_IN_QUOTES = re.compile(r'(["$`\\])')


class Bash(BashComplete):
    """See the module."""

    source_template = _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the cursor's, and what there is of that one."""
        return typed(os.environ["COMP_LINE"])

    def format_completion(self, item: "CompletionItem[str]") -> str:
        """What bash is to insert for the part of the word that it sees."""
        quote = open_quote(os.environ["COMP_LINE"])
        value = item.value
        if quote is None:
            _, incomplete = self.get_completion_args()
            seen = incomplete.rpartition("=")[2] if incomplete.startswith("-") else incomplete
            if ":" in os.environ["COMP_WORDBREAKS"]:
                value = value.removeprefix(seen[: seen.rfind(":") + 1])
            value = _SPECIAL.sub(r"\\\1", value)
        elif quote == '"':
            value = _SPECIAL_IN_QUOTES.sub(r"\\\1", value)
        return f"{item.type},{value}"


class Zsh(ZshComplete):
    """See the module."""

    source_template = _ZSH


class Fish(FishComplete):
    """See the module."""

    source_template = _FISH

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the cursor's, and what there is of that one."""
        return typed(os.environ["COMP_WORDS"])


#: The shells whose completion there is, by their names.
SHELLS: dict[str, type[Bash | Zsh | Fish]] = {"bash": Bash, "zsh": Zsh, "fish": Fish}


def typed(line: str) -> tuple[list[str], str]:
    """The arguments in a line up to the cursor: the whole ones, and what there is of the one that it stands in."""
    *words, incomplete = split_arg_string(line + _CURSOR)
    return words[1:], incomplete.removesuffix(_CURSOR)


def open_quote(line: str) -> str | None:
    """The quote that the end of a line stands in, if it does."""
    quote = None
    escaped = False
    for char in line:
        if escaped:
            escaped = False
        elif char == "\\" and quote != "'":
            escaped = True
        elif quote is not None:
            quote = None if char == quote else quote
        elif char in "'\"":
            quote = char
    return quote


def register() -> None:
    """Let click use these."""
    for name, shell in SHELLS.items():
        add_completion_class(shell, name)
