"""``balign kg``."""

import typer

app = typer.Typer(help="Stage kg.")


@app.callback()
def _stage() -> None:
    """Stage kg."""
