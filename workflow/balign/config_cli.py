"""``balign config``: check a configuration, and generate what is derived from its models."""

from __future__ import annotations

from pathlib import Path

import typer

from balign.options import ConfigOption

app = typer.Typer(help="Check the configuration; generate its default file, schema and table.")


@app.command()
def check(config: list[Path] = ConfigOption) -> None:
    """Check configuration files and print the resolved configuration."""
    import yaml

    from balign.config import load_config

    typer.echo(yaml.safe_dump(load_config(config).model_dump(mode="json"), sort_keys=False))


@app.command()
def generate(root: Path = typer.Option(Path(), help="The repository's root.")) -> None:
    """Write config/config.yaml, config/config.schema.json and docs/configuration.md."""
    from balign.config_files import generated_files

    for name, text in generated_files().items():
        (root / name).write_text(text, encoding="utf-8")
        typer.echo(f"wrote {name}")
