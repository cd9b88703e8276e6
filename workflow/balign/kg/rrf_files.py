"""The files of the Rich Release Format (UMLS Reference Manual, chapter 3), checked and opened.

DuckDB's CSV reader rejects lines with too few columns and bad UTF-8 in the columns that a query
reads. It lets pass NUL bytes, one column too many and bad UTF-8 elsewhere (tried with 2.0.0), so
:func:`check_file` looks for those first, in one pass over the bytes.
"""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import NoReturn

import duckdb

from balign.errors import DataError

COLUMNS = {
    "MRCONSO": "CUI LAT TS LUI STT SUI ISPREF AUI SAUI SCUI SDUI SAB TTY CODE STR SRL SUPPRESS CVF",
    "MRREL": "CUI1 AUI1 STYPE1 REL CUI2 AUI2 STYPE2 RELA RUI SRUI SAB SL RG DIR SUPPRESS CVF",
    "MRSTY": "CUI TUI STN STY ATUI CVF",
    "MRDEF": "CUI AUI ATUI SATUI SAB DEF SUPPRESS CVF",
    "MRSAB": "VCUI RCUI VSAB RSAB SON SF SVER VSTART VEND IMETA RMETA SLC SCC SRL TFR CFR CXTY "
    "TTYL ATNL LAT CENC CURVER SABIN SSN SCIT",
    "MRRANK": "RANK SAB TTY SUPPRESS",
    "MRDOC": "DOCKEY VALUE TYPE EXPL",
    "MRFILES": "FIL DES FMT CLS RWS BTS",
}
OPTIONAL = ("MRRANK", "MRDOC", "MRFILES")
_BLOCK = 1 << 24


def check_folder(folder: Path) -> dict[str, int]:
    """Check all files of a release; return the lines of each that is there, MRFILES first.

    Raises:
        DataError: for a missing file, a size other than MRFILES.RRF says, or as
            :func:`check_file`.
    """
    sizes: dict[str, int] = {}
    lines: dict[str, int] = {}
    for name in sorted(COLUMNS, key=lambda name: name != "MRFILES"):
        path = folder / f"{name}.RRF"
        if not path.is_file():
            if name in OPTIONAL:
                continue
            raise DataError(
                f"no {path.name} in the Metathesaurus folder",
                where=str(folder),
                hint="kg.rrf.folder is the folder META of an unpacked release or subset",
            )
        size = path.stat().st_size
        if size != sizes.get(path.name, size):
            raise DataError(
                f"{size} bytes instead of the {sizes[path.name]} that MRFILES.RRF says",
                where=str(path),
                hint="unpack or download the release again",
            )
        lines[name] = check_file(path, len(COLUMNS[name].split()))
        if name == "MRFILES":
            text = path.read_text(encoding="utf-8")
            rows = [line.split("|") for line in text.splitlines()]
            sizes = {row[0]: int(row[5]) for row in rows if row[5].isdigit()}
    return lines


def check_file(path: Path, columns: int) -> int:
    """Return the number of lines of an RRF file after a check of its bytes.

    Raises:
        DataError: for a NUL byte, bad UTF-8 or a line with a wrong number of columns; it names the
            file and the line.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    lines = bars = 0
    last = b"\n"
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK):
            try:
                decoder.decode(block)
            except UnicodeDecodeError:
                _raise_at_line(path, columns)
            if b"\0" in block:
                _raise_at_line(path, columns)
            lines += block.count(b"\n")
            bars += block.count(b"|")
            last = block
    lines += not last.endswith(b"\n")
    # DuckDB finds a line with too few; with none of those, equal sums mean no line with too many.
    if decoder.getstate()[0] or bars != lines * columns:
        _raise_at_line(path, columns)
    return lines


def _raise_at_line(path: Path, columns: int) -> NoReturn:
    """Look for the first bad line, now at leisure, and say what is wrong with it."""
    what, bad = "the file breaks the Rich Release Format", 0
    with path.open("rb") as handle:
        for number, line in enumerate(handle, 1):
            problem = _problem(line, columns)
            if problem:
                what, bad = problem, number
                break
    hint = "unpack or download the release again"
    raise DataError(what, where=f"{path}, line {bad}" if bad else str(path), hint=hint)


def _problem(line: bytes, columns: int) -> str | None:
    if b"\0" in line:
        return "a NUL byte"
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"not UTF-8: {error.reason}"
    found = line.count(b"|")
    return f"{found} columns instead of {columns}, each closed by '|'" if found != columns else None


def quoted(text: str) -> str:
    """Return a string as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def scan(folder: Path, name: str) -> str:
    """Return the SQL of a table function that reads one file; all columns are VARCHAR.

    An empty column is NULL; quotes, "NA" and "None" are text. After the last ``|`` of a line
    comes one more column, always empty.
    """
    columns = [*COLUMNS[name].split(), "nothing"]
    types = ", ".join(f"{quoted(column)}: 'VARCHAR'" for column in columns)
    return (
        f"read_csv({quoted(str(folder / f'{name}.RRF'))}, delim='|', header=false, quote='', "
        "escape='', nullstr='', auto_detect=false, strict_mode=true, max_line_size=16777216, "
        f"columns={{{types}}})"
    )


def run(connection: duckdb.DuckDBPyConnection, folder: Path, name: str, query: str) -> None:
    """Run a query that reads one file.

    Raises:
        DataError: where DuckDB cannot parse the file; it names the file and the line.
    """
    try:
        connection.execute(query)
    except duckdb.InvalidInputException as error:
        path = folder / f"{name}.RRF"
        if "CSV" not in str(error):
            raise
        _raise_at_line(path, len(COLUMNS[name].split()))
