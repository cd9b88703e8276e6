"""Options that several verbs of the command line share."""

from __future__ import annotations

import typer

ConfigOption = typer.Option(
    ["config/config.yaml"], "--config", "-c", help="Configuration files, lowest precedence first."
)
