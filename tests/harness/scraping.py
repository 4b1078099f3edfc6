"""What a monitoring system sees: the metrics of a daemon, by name and labels."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.openmetrics import parser

Labels = frozenset[tuple[str, str]]


class Scraped:
    """The samples of one text, which was parsed strictly."""

    def __init__(self, text: str) -> None:
        self.samples: dict[tuple[str, Labels], float] = {}
        for family in parser.text_string_to_metric_families(text):  # type: ignore[no-untyped-call]
            for sample in family.samples:
                key = sample.name, frozenset(sample.labels.items())
                assert key not in self.samples, key
                self.samples[key] = sample.value

    def __call__(self, name: str, **labels: str) -> float:
        """The one sample of that name that has these labels, among others."""
        (value,) = self.all(name, **labels)
        return value

    def all(self, name: str, **labels: str) -> Iterator[float]:
        """All of them."""
        wanted = labels.items()
        return (value for (each, has), value in self.samples.items() if each == name and wanted <= has)

    @property
    def names(self) -> set[str]:
        """The names of all samples."""
        return {name for name, _ in self.samples}


async def get(path: Path, request: bytes = b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n") -> tuple[bytes, bytes]:
    """Head and body of the answer to a request at a Unix socket."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


async def scrape(path: Path) -> Scraped:
    """What the metrics socket at `path` gives now."""
    head, body = await get(path)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n"), head
    return Scraped(body.decode())
