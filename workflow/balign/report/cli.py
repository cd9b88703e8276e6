"""``balign report``."""

import typer

app = typer.Typer(help="Stage report.")


@app.callback()
def _stage() -> None:
    """Stage report."""
