"""The rule ``pretrain_train``: one flat loop from tokenised text to a trained model."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import balign
from balign.digest import code_digest
from balign.errors import DataError
from balign.files import canonical_json, read_json, sha256_file, text_digest
from balign.graph.csr import Graph
from balign.pretrain.batches import Vocabulary
from balign.pretrain.data import node_digests, open_tokens
from balign.pretrain.encoder import (
    EncoderFolder,
    load_text_encoder,
    load_tokenizer,
    resolve_encoder,
)
from balign.pretrain.export import export_model
from balign.pretrain.kge_scores import KgeTables
from balign.pretrain.loop import Run, Upkeep
from balign.pretrain.model import PretrainModel
from balign.pretrain.objectives.base import TrainingData
from balign.pretrain.optimise import choose_precision, pretrained_parameters
from balign.pretrain.processes import Processes, joined
from balign.pretrain.settings import MlmSettings, ModelSettings
from balign.pretrain.trackers import TRACKERS

log = logging.getLogger(__name__)

_GRAPH_FILES = (
    "concepts.txt",
    "relations.txt",
    "indptr.npy",
    "indices.npy",
    "relations.npy",
    "name_indptr.npy",
    "names.parquet",
)


def pretrain_train(
    settings: ModelSettings,
    encoder: Path,
    tokens: Path,
    graph: Path,
    output: Path,
    checkpoints: Path,
    upkeep: Upkeep | None = None,
    threads: int | None = None,
    trackers: Sequence[str] = (),
    tracking: Path | None = None,
    kge: Path | None = None,
) -> None:
    """Train a model and write its folder.

    The same settings, data, code and numbers of processes and threads give the same model on a
    processor, whether or not the run was stopped and resumed in between. Started by torchrun the
    processes share each step.

    Args:
        settings: of the run.
        encoder: a source's ``MANIFEST.json`` or a Hugging Face folder.
        tokens: folder of ``pretrain_tokenize`` made with the same encoder.
        graph: folder of the graph.
        output: the model's folder.
        checkpoints: folder under which the run keeps its checkpoints in a folder named by the
            digest of all that influences the result; that one is removed when the model is written.
        upkeep: what the run does beside training; None for the defaults.
        threads: processor threads; None leaves PyTorch's choice.
        trackers: names of :data:`TRACKERS`.
        tracking: folder under which they write, in one named as the run.
        kge: folder of ``pretrain_kge``, for an objective that reads its vectors.

    Raises:
        DataError: if the parts do not belong together.
        TrainingInterrupted: after SIGTERM or SIGUSR1.
        BalignError: if too many steps in a row have a loss that is not finite, or a step has fewer
            sentences than there are processes.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    with joined() as processes:
        _train(
            settings, encoder, tokens, graph, output, checkpoints, upkeep or Upkeep(), processes,
            trackers if tracking else (), tracking or Path(), kge,
        )  # fmt: skip


def _train(
    settings: ModelSettings,
    encoder: Path,
    tokens: Path,
    graph: Path,
    output: Path,
    checkpoints: Path,
    upkeep: Upkeep,
    processes: Processes,
    trackers: Sequence[str],
    tracking: Path,
    kge: Path | None,
) -> None:
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", processes.local) if cuda else torch.device("cpu")
    source = resolve_encoder(encoder)
    data, counts = _open_data(source, tokens, graph, settings.kge, kge)
    precision = choose_precision(settings.precision, device)
    facts = {
        "settings": settings.model_dump(mode="json"),
        "encoder": {"name": source.name, "facts": source.facts, "digests": source.digests()},
        "tokens": counts["digest"],
        "kge": sha256_file(kge / "entities.npy") if kge else None,
        "graph": {
            "nodes": len(data.graph),
            "relations": len(data.graph.relations),
            "sources": read_json(graph / "counts.json")["sources"],
            "digests": {name: sha256_file(graph / name) for name in _GRAPH_FILES},
        },
        "code": [code_digest(__name__)]
        + [code_digest(one.code.partition(":")[0]) for one in settings.objectives],
        "precision": precision,
    }
    digest = text_digest(canonical_json(facts))

    torch.manual_seed(settings.seed)  # for the initial values of what is new
    arrays = data.arrays
    pieces = np.bincount(arrays.tokens, minlength=data.vocabulary.size).astype(np.int64)
    mlm = [one for one in settings.objectives if isinstance(one, MlmSettings)]
    original_head = any(one.reproduce_original_head for one in mlm)
    text, new_head = load_text_encoder(source.path, pieces, original_head)
    pretrained = pretrained_parameters(text, new_head)
    model = PretrainModel(text, data, settings).to(device)
    if settings.gradient_checkpointing:  # of the encoder as the objectives have made it
        text.model.gradient_checkpointing_enable({"use_reentrant": False})
    # An objective may have frozen the encoder for good, and put new parameters into it.
    pretrained = [parameter for parameter in pretrained if parameter.requires_grad]
    run = Run(model, pretrained, precision, upkeep, processes)
    folder = checkpoints / f"{settings.name}-{digest}"
    wanted = [TRACKERS[name] for name in trackers if processes.first]
    state = run.train(folder, lambda step: [one(tracking / settings.name, step) for one in wanted])
    if not processes.first:
        return
    facts |= {
        "digest": digest,
        "objectives": [(type(one).__doc__ or "").partition("\n")[0] for one in settings.objectives],
        "device": device.type,
        "processes": processes.count,
        "threads": torch.get_num_threads(),
        "balign": balign.__version__,
        "torch": torch.__version__,
        "counts": counts,
        "steps": state.step,
        "skipped": state.skipped,
        "seconds": round(state.seconds, 1),
        "pieces": state.pieces,
        "new_head": new_head,
        "own_code": bool(getattr(text.model.config, "auto_map", None)),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    model.finish()
    export_model(model, source, facts, state.lines, output)
    shutil.rmtree(folder, ignore_errors=True)
    log.info(
        "%s: %d steps in %.0f s, written to %s", settings.name, state.step, state.seconds, output
    )


def _open_data(
    source: EncoderFolder,
    tokens: Path,
    graph_folder: Path,
    kge_name: str | None,
    kge: Path | None,
) -> tuple[TrainingData, dict[str, Any]]:
    """Open text, graph, vocabulary and vectors, and check that they belong together."""
    arrays, counts = open_tokens(tokens)
    graph = Graph.open(graph_folder)
    tokenizer = load_tokenizer(source.path)
    if counts["tokenizer"] != source.digests().get("tokenizer.json"):
        raise DataError(
            f"the text was tokenised for another encoder than '{source.name}'",
            where=str(tokens),
            hint="tokenise it with this encoder",
        )
    if counts["graph"] != node_digests(graph_folder):
        raise DataError(
            f"the text was tokenised with another graph than {graph_folder}",
            where=str(tokens),
            hint="tokenise it with this graph",
        )
    if len(arrays.train) == 0:
        raise DataError("no sentence to train on", where=str(tokens))
    vocabulary = Vocabulary(
        len(tokenizer),
        int(tokenizer.pad_token_id),
        int(tokenizer.mask_token_id),
        np.array(sorted(tokenizer.all_special_ids), dtype=np.int64),
    )
    entities = _open_entities(kge_name, kge, graph_folder)
    return TrainingData(arrays, graph, vocabulary, tokenizer, entities), counts


def _open_entities(name: str | None, folder: Path | None, graph: Path) -> torch.Tensor | None:
    """Open the vectors of the graph's concepts, where the run is to read some."""
    if name is None:
        return None
    if folder is None:
        raise DataError(
            f"the run reads the vectors '{name}' of pretrain.kge, and none are given",
            hint="name their folder by --kge",
        )
    return KgeTables.open(folder, graph).entities
