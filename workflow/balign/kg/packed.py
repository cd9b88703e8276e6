"""Files as their publishers pack them."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from balign.errors import DataError


@contextmanager
def open_packed(path: Path) -> Iterator[IO[bytes]]:
    """Open a plain file or, by its ending, a ``.gz`` one, as bytes.

    Raises:
        DataError: where the body of the block meets a file that is missing, damaged or cut off.
    """
    try:
        opened = gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # noqa: SIM115
        with cast("IO[bytes]", opened) as handle:
            yield handle
    except (OSError, EOFError) as error:  # BadGzipFile is an OSError
        raise DataError(
            f"cannot be read to its end: {error}", where=str(path), hint="fetch the file again"
        ) from None
