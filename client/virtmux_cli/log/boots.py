"""`virtmux log --list-boots`: the incarnations of which something is stored. Pure, but for the local time zone."""

from collections.abc import Sequence

from virtmux.records import rfc3339
from virtmux_cli.log.choice import Boot
from virtmux_cli.text import local_time, reason_text, table


def boots_table(boots: Sequence[Boot]) -> str:
    """A row for each, as `journalctl --list-boots`: `BOOT` is what `-b` takes, `--from` takes the positions."""
    rows = [["BOOT", "INCARNATION", "BEGAN", "FIRST POSITION", "LAST POSITION", "ENDED"]]
    for boot in boots:
        began, end = boot.incarnation.at, boot.incarnation.end
        rows.append(
            [
                str(boot.number),
                str(boot.incarnation.number),
                local_time(None if began is None else rfc3339(began)),
                str(boot.incarnation.position),
                str(boot.last),
                "-" if end is None else f"{local_time(end.at)} {reason_text(end)}",
            ]
        )
    return table(rows)
