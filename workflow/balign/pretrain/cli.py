"""``balign pretrain``: tokenise the linked text, train the models."""

from __future__ import annotations

import os
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
    tracking: Path | None = typer.Option(None, help="Folder for TensorBoard's event files."),
    kge: Path | None = typer.Option(
        None, help="Folder written by `balign pretrain kge`, for a run that reads its vectors."
    ),
    config: list[Path] = ConfigOption,
) -> None:
    """Train one model; stopped by SIGTERM or SIGUSR1 it saves its state and exits with 75.

    Several processes share each step when torchrun starts them: `torchrun --nproc-per-node 4 -m
    balign pretrain train ...`.
    """
    # Read when PyTorch is imported: its idle threads sleep, and the thread that makes batches runs.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from balign.config import load_config
    from balign.errors import ConfigError
    from balign.pretrain.loop import TrainingInterrupted, Upkeep
    from balign.pretrain.train import pretrain_train

    settings = load_config(config).pretrain
    found = [one for one in settings.models if one.name == model]
    if not found:
        names = ", ".join(one.name for one in settings.models)
        raise ConfigError(f"no model '{model}' in pretrain.models", hint=f"there are: {names}")
    upkeep = Upkeep(
        log=settings.log_every,
        checkpoint=settings.checkpoint_every,
        validate=settings.validate_every,
        keep=settings.keep_checkpoints,
        most_skipped=settings.max_skipped_steps,
    )
    try:
        pretrain_train(
            found[0], encoder, tokens, graph, output, checkpoints, upkeep=upkeep, threads=threads,
            trackers=settings.trackers, tracking=tracking, kge=kge,
        )  # fmt: skip
    except TrainingInterrupted as stop:
        typer.echo(str(stop), err=True)
        raise typer.Exit(_INTERRUPTED) from None


@app.command()
def kge(
    name: str = typer.Argument(..., help="Name of the tables in pretrain.kge."),
    graph: Path = GraphOption,
    output: Path = typer.Option(..., help="Folder of the tables to write."),
    checkpoints: Path = typer.Option(..., help="Folder under which checkpoints are kept."),
    threads: int | None = typer.Option(None, min=1, help="Processor threads."),
    config: list[Path] = ConfigOption,
) -> None:
    """Train vectors of concepts and relations on the graph's edges (TransE, DistMult, RotatE)."""
    from balign.config import load_config
    from balign.errors import ConfigError
    from balign.pretrain.kge import pretrain_kge

    found = {one.name: one for one in load_config(config).pretrain.kge}
    if name not in found:
        names = ", ".join(found) or "none"
        raise ConfigError(f"no tables '{name}' in pretrain.kge", hint=f"there are: {names}")
    pretrain_kge(found[name], graph, output, checkpoints, threads=threads)
