"""Family ``probing``: does the encoder fill in the name of one end of an edge.

As KeBioLM probes (Yuan et al., BioNLP 2021): for an edge (s, r, o) the queries ``[CLS] [MASK].. r o
[SEP]`` and ``[CLS] s r [MASK].. [SEP]`` with 1 to 10 masks, ``r`` being the relation's readable
name (:mod:`balign.evaluate.mask_filling`). An answer is right if it is, letters and digits
compared, a name of any concept that stands there in the graph. ``macro_recall`` is KeBioLM's
figure: whether any of the answers is right, five of each number of masks, averaged over relations;
the hits count the best answers of all lengths. Equal queries are one example. ``trivial``: a right
name occurs in the query itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import duckdb
import polars as pl
import torch

from balign.errors import DataError
from balign.evaluate.graph_edges import draw_edges
from balign.evaluate.leakage import normalised
from balign.evaluate.linking import open_graph
from balign.evaluate.mask_filling import Answer, Pieces, Query, fill_masks
from balign.evaluate.outcome import Outcome, Run, TaskSkipped
from balign.evaluate.zero_shot_settings import ProbingTask
from balign.pretrain.encoder import load_text_encoder

METRICS = ("macro_recall", "macro_hits@5", "macro_hits@1", "accuracy@5", "accuracy@1")
SUBSETS = ("not_trivial", "trivial", "head", "tail")


@dataclass(frozen=True)
class Probe:
    """A question: the given end, the relation, and the names that are right for the other end.

    Attributes:
        side: the end that is asked for, ``head`` or ``tail``.
        relation: name of the relation in the graph.
        label: its readable name.
        given: name of the given end.
        right: right names, letters and digits only, sorted.
    """

    side: str
    relation: str
    label: str
    given: str
    right: tuple[str, ...]

    @property
    def trivial(self) -> bool:
        """Whether a right name stands in the query, as whole words."""
        text = f" {normalised(f'{self.given} {self.label}')} "
        return any(f" {one} " in text for one in self.right)


def run(task: ProbingTask, run: Run) -> Outcome:
    """Fill the masks of all queries.

    Raises:
        TaskSkipped: if the checkpoint has no MLM head, as sentence encoders have none.
        DataError: if the graph has no edge, or the model cannot be read.
    """
    import transformers

    with open_graph(run.database) as graph:
        probes = read_probes(graph, task)
    encoder, new_head = load_text_encoder(run.model)
    if new_head:
        raise TaskSkipped("the checkpoint has no MLM head that could fill masks")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cuda":  # TF32: seven times fp32's rate on an H100 (its data sheet)
        torch.set_float32_matmul_precision("high")
    encoder = encoder.to(device).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        str(run.model), local_files_only=True, trust_remote_code=False
    )
    pieces = special_pieces(tokenizer)
    queries = [query_of(probe, tokenizer, task.max_name_tokens) for probe in probes]
    with torch.inference_mode():
        found = fill_masks(encoder, queries, pieces, task.max_masks, task.beam)
    answers = [distinct_texts(tokenizer, some) for some in found]
    ranks = [
        next((rank for rank, text in enumerate(some, 1) if normalised(text) in probe.right), None)
        for probe, some in zip(probes, answers, strict=True)
    ]
    predictions = pl.DataFrame(
        {
            "group": [probe.relation for probe in probes],
            "side": [probe.side for probe in probes],
            "given": [probe.given for probe in probes],
            "label": [probe.label for probe in probes],
            "right": [list(probe.right) for probe in probes],
            "answers": answers,
            "rank": pl.Series(ranks, dtype=pl.Int32),
            "subsets": [
                ["trivial" if probe.trivial else "not_trivial", probe.side] for probe in probes
            ],
        }
    ).with_row_index("example")
    counts = {
        "edges": task.triples,
        "distinct_queries": len(probes),
        "relations": predictions["group"].n_unique(),
        "trivial": sum(probe.trivial for probe in probes),
    }
    predictions = predictions.with_columns(pl.col("example").cast(pl.Int64))
    return Outcome(predictions, METRICS, SUBSETS, counts)


def read_probes(graph: duckdb.DuckDBPyConnection, task: ProbingTask) -> list[Probe]:
    """Return the distinct questions of the drawn edges, sorted.

    Raises:
        DataError: if the graph has no edge.
    """
    drawn = draw_edges(graph, task.seed, task.triples, task.per_relation)
    probes = []
    for side, given in (("tail", "head"), ("head", "tail")):
        asked = drawn.select(given, "relation").unique()
        rows = graph.sql(
            f"""
            SELECT e.relation, relation.label, concept.preferred_name, list(DISTINCT atom.name)
            FROM (SELECT unnest($given) AS given, unnest($relation) AS relation) AS asked
            JOIN edge AS e ON e.{given} = asked.given AND e.relation = asked.relation
            JOIN relation ON relation.relation = e.relation
            JOIN concept ON concept.concept = e.{given}
            JOIN atom ON atom.concept = e.{side}
            GROUP BY ALL
            """,
            params={"given": asked[given].to_list(), "relation": asked["relation"].to_list()},
        ).fetchall()
        # Concepts of one name ask the same question.
        merged: dict[tuple[str, str, str], set[str]] = defaultdict(set)
        for relation, label, name, names in rows:
            merged[relation, label, name] |= {normalised(one) for one in names} - {""}
        probes += [Probe(side, *key, tuple(sorted(right))) for key, right in merged.items()]
    return sorted(probes, key=lambda one: (one.relation, one.side, one.given))


def special_pieces(tokenizer: Any) -> Pieces:
    """Return the mask, and all pieces that cannot be an answer.

    Raises:
        DataError: if the tokenizer has no mask, or no pieces around a text.
    """
    if None in (tokenizer.mask_token_id, tokenizer.cls_token_id, tokenizer.sep_token_id):
        raise DataError("the tokenizer has no mask, or no pieces around a text")
    return Pieces(tokenizer.mask_token_id, tuple(sorted(set(tokenizer.all_special_ids))))


def query_of(probe: Probe, tokenizer: Any, max_name_tokens: int) -> Query:
    """Return the word pieces before and after the masks."""

    def ids(text: str) -> list[int]:
        found: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        return found

    given, label = ids(probe.given)[:max_name_tokens], ids(probe.label)
    start, end = [tokenizer.cls_token_id], [tokenizer.sep_token_id]
    if probe.side == "tail":
        return (*start, *given, *label), tuple(end)
    return tuple(start), (*label, *given, *end)


def distinct_texts(tokenizer: Any, answers: Iterable[Answer]) -> list[str]:
    """Return the distinct texts of answers, in their order."""
    texts: dict[str, str] = {}
    for answer in answers:
        text = tokenizer.decode(list(answer.pieces)).strip()
        texts.setdefault(normalised(text), text)
    return list(texts.values())
