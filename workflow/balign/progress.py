"""Progress: a bar where there is a terminal, a plain line now and then in a log file."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import track as rich_track

T = TypeVar("T")

_CONSOLE = Console(stderr=True)
_SECONDS_BETWEEN_LINES = 10.0


def setup_logging(verbose: bool = False) -> None:
    """Send log records to stderr: coloured on a terminal, plain dated lines otherwise."""
    handler: logging.Handler
    if sys.stderr.isatty():
        handler = RichHandler(console=_CONSOLE, show_path=False)
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:
        handler = logging.StreamHandler(sys.stderr)
        form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
        handler.setFormatter(logging.Formatter(form))
    root = logging.getLogger("balign")
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    root.propagate = False


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yield ``items`` and show how far the work is.

    Args:
        items: what to go through.
        what: a noun phrase such as "abstracts linked".
        total: the number of items, where ``len`` does not tell.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    if sys.stderr.isatty():
        yield from rich_track(items, description=what, total=total, console=_CONSOLE)
        return
    log = logging.getLogger("balign.progress")
    last = time.monotonic()
    count = 0
    for item in items:
        yield item
        count += 1
        if time.monotonic() - last >= _SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            share = f" of {total:,} ({100 * count / total:.0f} %)" if total else ""
            log.info("%s: %s%s", what, f"{count:,}", share)
    log.info("%s: %s done", what, f"{count:,}")
