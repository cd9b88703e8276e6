"""The finished model as a Hugging Face folder, with a model card made of the run's facts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from balign.files import atomic_path, write_json
from balign.pretrain.encoder import EncoderFolder, load_tokenizer, quiet_transformers
from balign.pretrain.model import PretrainModel

_ASIDE = ("step", "split", "seconds")
# What sentence-transformers reads: the encoder, then the mean over all tokens.
_MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]


def export_model(
    model: PretrainModel,
    source: EncoderFolder,
    run: Mapping[str, Any],
    lines: Sequence[Mapping[str, Any]],
    output: Path,
) -> None:
    """Write the model's folder: encoder with head, tokenizer, extra parts, metrics, card.

    ``AutoModel``, ``AutoModelForMaskedLM`` and ``AutoTokenizer`` load it. Licence files of the
    pretrained encoder go along.

    Args:
        model: the trained model.
        source: the encoder that the run started from.
        run: the run's facts, for ``run.json`` and the card.
        lines: of ``metrics.jsonl``.
        output: the folder.
    """
    with atomic_path(output) as temporary:
        temporary.mkdir()
        with quiet_transformers():
            model.text.model.save_pretrained(temporary)
        load_tokenizer(source.path).save_pretrained(temporary)
        model.save(temporary)
        for path in temporary.glob("*.safetensors"):  # written for the owner's eyes alone
            path.chmod((temporary / "config.json").stat().st_mode)
        for pattern in ("LICENSE*", "NOTICE*"):
            for path in sorted(source.path.glob(pattern)):
                shutil.copyfile(path, temporary / path.name)
        text = "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines)
        (temporary / "metrics.jsonl").write_text(text, encoding="utf-8")
        write_json(temporary / "run.json", run)
        write_json(temporary / "modules.json", _MODULES)
        pooling = {"word_embedding_dimension": model.text.hidden, "pooling_mode_mean_tokens": True}
        write_json(temporary / "1_Pooling" / "config.json", pooling)
        (temporary / "README.md").write_text(model_card(run, lines), encoding="utf-8")


def model_card(run: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> str:
    """Return the model card: what was trained, on what, and what validation said."""
    settings, counts, start = run["settings"], run["counts"], run["encoder"]
    size = f"{settings['batch_sentences']} sentences"
    if settings["batch_tokens"] is not None:
        size = f"about {settings['batch_tokens']:,} word pieces"
    graph_sources = run["graph"]["sources"]
    # What a graph that may not be passed on has taught has no licence of ours to give.
    free = all(one["restriction"] == 0 for one in graph_sources)
    licence = start["facts"].get("licence", "other") if free else "other"
    objectives = settings["objectives"]
    # The folder then holds the code of its architecture.
    trust = ", trust_remote_code=True" if run["own_code"] else ""
    what = "\n".join(
        f"- `{one['type']}`, weight {one['weight']:g}: {about}"
        for one, about in zip(objectives, run["objectives"], strict=True)
    )
    sources = "; ".join(
        f"{one['source']} {one['version']} ({one['licence'] or 'licence not stated'})"
        for one in graph_sources
    )
    table = "No validation sentences."
    validation = [line for line in lines if line["split"] == "validation"]
    if validation:
        # In an order that does not tell whether the run went on from a checkpoint.
        columns = ["loss", *sorted(set(validation[0]) - {"loss", *_ASIDE})]
        rows = [["step", *columns], ["---"] * (len(columns) + 1)]
        rows += [[str(x["step"]), *(f"{x[name]:.4f}" for name in columns)] for x in validation]
        table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"""---
license: {licence.lower()}
library_name: transformers
pipeline_tag: fill-mask
tags: [biomedical, knowledge-graph, balign]
---
# {settings["name"]}

`{start["name"]}` {start["facts"].get("version", "")}, trained further on linked PubMed sentences by
balign {run["balign"]}. It learnt from:

{what}

| | |
| --- | --- |
| steps | {run["steps"]:,} of {size} ({run["skipped"]} skipped) |
| peak learning rates | {settings["learning_rate"]:g}, new parts {settings["learning_rate_new"]:g} |
| sentences | {counts["train"]:,} for training, {counts["validation"]:,} for validation |
| concepts | {counts["concepts"]:,} in text, {run["graph"]["nodes"]:,} in the graph |
| from | {sources} |
| word pieces seen | {run["pieces"]:,} |
| time | {run["seconds"]:.0f} s, {run["device"]}, {run["precision"]}, {run["threads"]} threads |
| seed | {settings["seed"]} |

## Validation

{table}

`loss` is the weighted sum. Recall is how often a mention's node is among the nearest 1 or 10 of all
nodes of the validation sentences, node recall how often one of a node's mentions is among the
nearest of all mentions.

## Use

```python
from transformers import AutoModel, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("path/to/{settings["name"]}")
model = AutoModel.from_pretrained("path/to/{settings["name"]}"{trust})
```

`SentenceTransformer("path/to/{settings["name"]}"{trust}).encode(names)` gives the names' vectors.

A name's vector is the mean of the last layer's states over all its tokens. The model has learnt
from names and abstracts and may repeat their errors and biases; it is no medical device.
"""
