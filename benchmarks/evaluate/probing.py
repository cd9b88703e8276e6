"""Fill-in probing: all queries at once against one query after the other, with equal answers.

    python -m benchmarks.evaluate.probing --database kg.duckdb --model FOLDER [--edges 20]
        [--device cuda --edges 20000 --peer-queries 40]

Each drawn edge is two queries, of which equal ones are asked once. Three ways, each a process of
its own, with one search (:mod:`balign.evaluate.mask_filling`):

- query by query: for each number of masks and each step one pass of the states of the beam, with
  the logits of all positions;
- in batches, as KeBioLM's ``beam_batch_decode.py`` goes about it: 19 queries of one length but of
  any number of masks, five copies of each from the first step on, as many steps as the most masks
  take, logits of all positions, and each state's log probabilities and best fillings on its own;
- at once: what the pipeline runs.

The first two may be given fewer queries, the first ones; rates are compared then.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from benchmarks.measure import measure, show

_MASKS, _BEAM = 10, 5
_KEBIOLM_BATCH = 96 // _BEAM  # queries
_WAYS = ("query by query", "in batches", "at once")


def queries_of(database: Path, edges: int, tokenizer: object) -> list:
    """Return the distinct queries of drawn edges."""
    import duckdb

    from balign.evaluate.probing import Probe, query_of

    with duckdb.connect(str(database), read_only=True) as graph:
        rows = graph.sql(
            f"""
            SELECT h.preferred_name, r.label, t.preferred_name
            FROM (SELECT DISTINCT head, relation, tail FROM edge) AS e
            JOIN concept AS h ON h.concept = head JOIN concept AS t ON t.concept = tail
            JOIN relation AS r ON r.relation = e.relation
            ORDER BY md5(concat_ws('|', head, e.relation, tail)) LIMIT {edges}
            """
        ).fetchall()
    asked = [
        query_of(Probe(side, label, label, given, ()), tokenizer, 24)
        for head, label, tail in rows
        for side, given in (("tail", head), ("head", tail))
    ]
    return list(dict.fromkeys(asked))


def grown(states: list, logits: object, pieces: object) -> list:
    """Return the states that a step of the beam makes of a query's."""
    fillings = []
    for (ids, score), of_state in zip(states, logits, strict=True):
        left = [row for row, one in enumerate(ids) if one == pieces.mask]
        chances = of_state[left]
        chances[:, list(pieces.banned)] = float("-inf")
        chances = chances.log_softmax(dim=-1)
        best = chances.flatten().topk(_BEAM)
        for value, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            row, piece = left[place // chances.shape[1]], place % chances.shape[1]
            fillings.append(([*ids[:row], piece, *ids[row + 1 :]], score + value))
    kept: list = []
    for ids, score in sorted(fillings, key=lambda one: -one[1]):
        if all(ids != other for other, _ in kept) and len(kept) < _BEAM:
            kept.append((ids, score))
    return kept


def one_by_one(model: object, queries: list, pieces: object, device: str) -> list:
    """Return the answers of every number of masks to each query, the best first."""
    import torch

    found = []
    for before, after in queries:
        answers = []
        for masks in range(1, _MASKS + 1):
            states = [([*before, *[pieces.mask] * masks, *after], 0.0)]
            for _ in range(masks):
                ids = torch.tensor([ids for ids, _ in states], device=device)
                states = grown(states, model(input_ids=ids).logits, pieces)
            answers += answers_of(states, len(before), masks)
        found.append(sorted(answers, key=lambda one: -one[1]))
    return found


def answers_of(states: list, start: int, masks: int) -> list:
    """Return what fills the masks of complete states, and the mean log probabilities."""
    return [(ids[start : start + masks], score / masks) for ids, score in states]


def in_batches(model: object, queries: list, pieces: object, device: str) -> list:
    """Return the same as :func:`one_by_one`."""
    import torch

    of_length = defaultdict(list)
    for number, (before, after) in enumerate(queries):
        for masks in range(1, _MASKS + 1):
            row = [*before, *[pieces.mask] * masks, *after]
            of_length[len(row)].append((number, masks, row))
    found: list = [[] for _ in queries]
    for rows in of_length.values():
        for start in range(0, len(rows), _KEBIOLM_BATCH):
            batch = rows[start : start + _KEBIOLM_BATCH]
            beams = [[(row, 0.0)] for _, _, row in batch]
            for step in range(max(masks for _, masks, _ in batch)):
                copies = [(beam * _BEAM)[:_BEAM] for beam in beams]
                ids = torch.tensor([ids for beam in copies for ids, _ in beam], device=device)
                logits = model(input_ids=ids).logits
                for place, (_, masks, _) in enumerate(batch):
                    if step < masks:
                        first = place * _BEAM
                        own = logits[first : first + len(beams[place])]
                        beams[place] = grown(beams[place], own, pieces)
            for (number, masks, _), states in zip(batch, beams, strict=True):
                found[number] += answers_of(states, len(queries[number][0]), masks)
    return [sorted(answers, key=lambda one: -one[1]) for answers in found]


def answer(way: str, options: argparse.Namespace, output: Path) -> None:
    """Answer the queries and write answers and seconds."""
    import torch
    import transformers

    from balign.evaluate.mask_filling import fill_masks
    from balign.evaluate.probing import special_pieces
    from balign.pretrain.encoder import load_text_encoder

    tokenizer = transformers.AutoTokenizer.from_pretrained(str(options.model))
    queries = queries_of(options.database, options.edges, tokenizer)
    pieces = special_pieces(tokenizer)
    if options.device != "cpu":
        torch.set_float32_matmul_precision("high")  # as the pipeline does, and for all ways
    with torch.inference_mode():
        if way == "at once":
            encoder = load_text_encoder(options.model)[0].to(options.device).eval()
            fill_masks(encoder, queries[:1], pieces, 2, _BEAM)
            began = time.perf_counter()
            some = fill_masks(encoder, queries, pieces, _MASKS, _BEAM)
            found = [[(list(a.pieces), a.score) for a in answers] for answers in some]
        else:
            model = transformers.BertForMaskedLM.from_pretrained(str(options.model))
            model = model.to(options.device).eval()
            model(input_ids=torch.tensor([queries[0][0]], device=options.device))
            queries = queries[: options.peer_queries]
            search = one_by_one if way == "query by query" else in_batches
            began = time.perf_counter()
            found = search(model, queries, pieces, options.device)
    seconds = time.perf_counter() - began
    output.write_text(json.dumps({"seconds": seconds, "found": found}))


def main() -> None:
    """Run the benchmark, or one of its processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", type=Path, required=True, help="kg.duckdb.")
    parser.add_argument("--model", type=Path, required=True, help="A BERT with its MLM head.")
    parser.add_argument("--edges", type=int, default=20)
    parser.add_argument("--peer-queries", type=int, help="For the first two ways; else all.")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        answer(options.way, options, options.output)
        return
    rows, made = [], {}
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "made.json"
        for way in _WAYS:
            command = [sys.executable, "-m", "benchmarks.evaluate.probing", *sys.argv[1:],
                       "--way", way, "--output", str(output)]  # fmt: skip
            cost = measure(command, dict(os.environ))
            made[way] = json.loads(output.read_text())
            count, seconds = len(made[way]["found"]), made[way]["seconds"]
            rows.append((way, count, seconds, count / seconds, cost.peak_mib))
    ours, rate = made["at once"]["found"], rows[-1][3]
    for place, way in enumerate(_WAYS[:-1]):
        theirs = made[way]["found"]
        same = sum(
            [one for one, _ in a] == [one for one, _ in b]
            for a, b in zip(theirs, ours, strict=False)
        )
        share = f"all the same answers: {same} of {len(theirs)} queries"
        print(f"at once is {rate / rows[place][3]:.1f} times as fast as {way}; {share}")
    show("Fill-in probing", ("way", "queries", "seconds", "queries/s", "peak MiB"), rows)


if __name__ == "__main__":
    main()
