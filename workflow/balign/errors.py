"""The exceptions that a user may see; everything else is a defect of balign."""

from __future__ import annotations

import difflib
import errno
import os
import re
from collections.abc import Sequence


class BalignError(Exception):
    """An error with three parts: what went wrong, where, and what to do about it.

    The command line prints it without a traceback and exits with status 1.
    """

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        self.what = what
        self.where = where
        self.hint = hint
        super().__init__(what)

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.hint:
            lines.append(f"  hint:  {self.hint}")
        return "\n".join(lines)


class ConfigError(BalignError):
    """The configuration is wrong; names the file, the key path and the nearest valid key."""


class SourceError(BalignError):
    """A data source could not be had, or is not what the registry says."""


class DataError(BalignError):
    """An input file breaks its format; names the file and the line, row or byte."""


def nearest_hint(word: str, valid: Sequence[str], otherwise: str, prefix: str = "") -> str:
    """Return a hint at the valid word nearest to a wrong one, or at all of them.

    Args:
        word: what was given.
        valid: what could have been.
        otherwise: words before the list of all, where none is near.
        prefix: what stands before the nearest word in the hint, such as a key's path.
    """
    close = difflib.get_close_matches(word, valid, n=1, cutoff=0.5)
    return f"did you mean '{prefix}{close[0]}'?" if close else f"{otherwise}: {', '.join(valid)}"


_DISK = {
    errno.ENOSPC: ("the disk is full", "free space there, then give the same command again"),
    errno.EDQUOT: ("the quota is used up", "free space there, then give the same command again"),
    errno.EROFS: ("the folder cannot be written to: it is read-only", None),
    errno.EACCES: ("no permission for the file or folder", None),
    errno.EPERM: ("no permission for the file or folder", None),
}

_SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")  # numpy.ndarray.tofile


def disk_error(error: Exception) -> BalignError | None:
    """Return what to tell a person of an error that is the disk's, or None where it is not.

    Libraries that write by themselves raise errors of their own with the system's words in them.
    """
    number = getattr(error, "errno", None)
    if number not in _DISK:
        number = next((one for one in _DISK if os.strerror(one) in str(error)), None)
    if isinstance(error, OSError) and _SHORT_WRITE.fullmatch(str(error)):
        number = errno.ENOSPC
    if number is None:
        return None
    what, hint = _DISK[number]
    hint = hint or "paths.data and paths.results in the configuration name where files go"
    notes = getattr(error, "__notes__", [])  # balign.files.atomic_path says what was written
    where = notes[-1] if notes else getattr(error, "filename", None)
    return BalignError(what, where=where or str(error), hint=hint)
