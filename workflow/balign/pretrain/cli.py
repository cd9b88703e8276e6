"""``balign pretrain``."""

import typer

app = typer.Typer(help="Stage pretrain.")


@app.callback()
def _stage() -> None:
    """Stage pretrain."""
