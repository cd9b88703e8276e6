"""Files at the edge: atomic writes, digests and canonical JSON."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import platform
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary name beside ``target``; on success it is renamed onto ``target``.

    Works for a file or a folder. On an exception the temporary is removed and ``target`` stays as
    it was, so a reader sees the old result or the new one and never half of one. What a process of
    this machine left that was killed is removed by the next one that writes ``target``.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(target)
    owner = f"{platform.node()}.{os.getpid()}"
    temporary = target.with_name(f".{target.name}.{owner}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        if target.is_dir() and not target.is_symlink():  # rename refuses a folder with files in it
            shutil.rmtree(target)
        temporary.replace(target)
    except OSError as error:
        error.add_note(str(target))  # a failed write does not say of what
        raise
    finally:
        _remove(temporary)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _remove_abandoned(target: Path) -> None:
    """Remove temporaries of ``target``, and files beside them, whose process is no more."""
    prefix = f".{target.name}.{platform.node()}."
    for path in target.parent.glob(glob.escape(prefix) + "*.tmp*"):
        process = path.name.removeprefix(prefix).partition(".")[0]
        if process.isdigit():
            try:
                os.kill(int(process), 0)
            except ProcessLookupError:
                _remove(path)
            except PermissionError:
                pass  # another user's, alive


def canonical_json(value: Any) -> str:
    """Return JSON whose text depends on the value alone: keys sorted, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def text_digest(text: str) -> str:
    """Return the first 16 hexadecimal digits of the sha256 of ``text``."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON with sorted keys, atomically."""
    with atomic_path(path) as temporary:
        text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def file_digest(path: Path, algorithm: str) -> str:
    """Return the hexadecimal digest of a file, read in blocks."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, algorithm).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the hexadecimal sha256 of a file, read in blocks."""
    return file_digest(path, "sha256")
