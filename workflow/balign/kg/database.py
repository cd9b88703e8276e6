"""Opening a finished knowledge graph, read-only."""

from __future__ import annotations

from pathlib import Path

import duckdb

from balign.errors import DataError


def open_database(database: Path) -> duckdb.DuckDBPyConnection:
    """Open a knowledge graph read-only.

    Raises:
        DataError: if there is none, another process is writing it, or the file is something else.
    """
    try:
        connection = duckdb.connect(str(database), read_only=True)
        connection.execute("SELECT concept FROM concept LIMIT 0")
        return connection
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
    hint = "`snakemake --cores 2 kg` or `balign kg build` writes it"
    if not database.exists():
        reason = "no such file"
    elif "lock" in reason.lower():
        reason = "another process has it open for writing"
        hint = "wait until that process ends; readers do not hinder each other"
    raise DataError(f"not a knowledge graph: {reason}", where=str(database), hint=hint)
