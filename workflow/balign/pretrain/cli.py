"""``balign pretrain``: tokenise the linked text, train the models."""

from __future__ import annotations

from pathlib import Path

import typer

from balign.options import ConfigOption

app = typer.Typer(help="Alignment pre-training: tokenise the linked text, train the models.")

_INTERRUPTED = 75  # EX_TEMPFAIL of sysexits.h: try again later

EncoderOption = typer.Option(..., help="MANIFEST.json of a source, or a Hugging Face folder.")
GraphOption = typer.Option(..., help="Folder of the graph.")


@app.command()
def tokenize(
    encoder: Path = EncoderOption,
    corpus: Path = typer.Option(..., help="Folder with abstracts/ and sentences/."),
    mentions: list[Path] = typer.Option(
        ..., help="Parquet file of mentions, named as the file of the corpus; repeatable."
    ),
    graph: Path = GraphOption,
    output: Path = typer.Option(..., help="Folder to write."),
    config: list[Path] = ConfigOption,
) -> None:
    """Tokenise linked sentences and concept names into memory-mapped arrays."""
    from balign.config import load_config
    from balign.pretrain.tokenize import pretrain_tokenize

    settings = load_config(config).pretrain.data
    abstracts, sentences = (
        [corpus / part / file.name for file in mentions] for part in ("abstracts", "sentences")
    )
    pretrain_tokenize(encoder, abstracts, sentences, mentions, graph, settings, output)


@app.command()
def train(
    model: str = typer.Argument(..., help="Name of the run in pretrain.models."),
    encoder: Path = EncoderOption,
    tokens: Path = typer.Option(..., help="Folder written by `balign pretrain tokenize`."),
    graph: Path = GraphOption,
    output: Path = typer.Option(..., help="Folder of the model to write."),
    checkpoints: Path = typer.Option(..., help="Folder under which checkpoints are kept."),
    threads: int | None = typer.Option(None, min=1, help="Processor threads."),
    config: list[Path] = ConfigOption,
) -> None:
    """Train one model; stopped by SIGTERM or SIGUSR1 it saves its state and exits with 75."""
    from balign.config import load_config
    from balign.errors import ConfigError
    from balign.pretrain.train import Intervals, TrainingInterrupted, pretrain_train

    settings = load_config(config).pretrain
    found = [one for one in settings.models if one.name == model]
    if not found:
        names = ", ".join(one.name for one in settings.models)
        raise ConfigError(f"no model '{model}' in pretrain.models", hint=f"there are: {names}")
    every = Intervals(settings.log_every, settings.checkpoint_every, settings.validate_every)
    try:
        pretrain_train(
            found[0], encoder, tokens, graph, output, checkpoints, every=every, threads=threads
        )
    except TrainingInterrupted as stop:
        typer.echo(str(stop), err=True)
        raise typer.Exit(_INTERRUPTED) from None
