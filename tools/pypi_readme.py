"""The description on PyPI: README.md without its links into the repository, which would lead nowhere there.

A metadata hook of the build backend (pyproject.toml). The readme calls a file by its path, which stays.
"""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"\[([^]]+)\]\((?!https?:)[^)]+\)")


class Description(MetadataHookInterface):
    """Puts it into the metadata."""

    def update(self, metadata: dict[str, Any]) -> None:
        text = _LINK.sub(r"\1", Path(self.root, "README.md").read_text())
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
