"""Fill-in probing: all queries at once against one query after the other, with equal answers.

    python -m benchmarks.evaluate.probing --database kg.duckdb --model FOLDER [--edges 20]

Each drawn edge is two queries, as KeBioLM probes; equal queries are not taken out for the peer,
which decodes query by query as the original does: for each number of masks and each step one pass
of the states of the beam, with the logits of all positions. Both are processes of their own. The
share of distinct queries among as many as KeBioLM asked, and among those of all edges, is counted
too: for such a set the gain is the measured one for distinct queries, divided by that share.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import measure, show

_KEBIOLM = 143_771  # queries of the original
_MASKS, _BEAM = 10, 5


def edges_of(database: Path, count: int) -> list[tuple[str, str, str]]:
    """Return (name of head, label, name of tail) of drawn edges, whose names are not long."""
    import duckdb

    with duckdb.connect(str(database), read_only=True) as graph:
        rows: list[tuple[str, str, str]] = graph.sql(
            f"""
            SELECT h.preferred_name, r.label, t.preferred_name
            FROM (SELECT DISTINCT head, relation, tail FROM edge) AS e
            JOIN concept AS h ON h.concept = head JOIN concept AS t ON t.concept = tail
            JOIN relation AS r ON r.relation = e.relation
            ORDER BY md5(concat_ws('|', head, e.relation, tail)) LIMIT {count}
            """
        ).fetchall()
    return rows


def queries_of(edges: list[tuple[str, str, str]], tokenizer: object) -> list:
    """Return two queries an edge."""
    from balign.evaluate.probing import Probe, query_of

    return [
        query_of(Probe(side, label, label, given, ()), tokenizer, 24)
        for head, label, tail in edges
        for side, given in (("tail", head), ("head", tail))
    ]


def one_by_one(model: object, query: tuple, pieces: object) -> list[tuple[list[int], float]]:
    """Return the answers of every number of masks to one query, the best first."""
    import torch

    before, after = query
    found = []
    for masks in range(1, _MASKS + 1):
        states = [([*before, *[pieces.mask] * masks, *after], 0.0)]
        for _ in range(masks):
            logits = model(input_ids=torch.tensor([ids for ids, _ in states])).logits
            logits[:, :, list(pieces.banned)] = float("-inf")
            chances = logits.log_softmax(dim=-1)
            grown = []
            for (ids, score), chance in zip(states, chances, strict=True):
                left = [row for row, one in enumerate(ids) if one == pieces.mask]
                surest = left[int(chance[left].amax(dim=1).argmax())]
                best = chance[surest].topk(_BEAM)
                for value, piece in zip(best.values.tolist(), best.indices.tolist(), strict=True):
                    grown.append(([*ids[:surest], piece, *ids[surest + 1 :]], score + value))
            states = []
            for ids, score in sorted(grown, key=lambda one: -one[1]):
                if all(ids != other for other, _ in states) and len(states) < _BEAM:
                    states.append((ids, score))
        start = len(before)
        found += [(ids[start : start + masks], score / masks) for ids, score in states]
    return sorted(found, key=lambda one: -one[1])


def answer(way: str, options: argparse.Namespace, output: Path) -> None:
    """Answer the queries and write answers and seconds."""
    import torch
    import transformers

    from balign.evaluate.mask_filling import fill_masks
    from balign.evaluate.probing import special_pieces
    from balign.pretrain.encoder import load_text_encoder

    tokenizer = transformers.AutoTokenizer.from_pretrained(str(options.model))
    queries = queries_of(edges_of(options.database, options.edges), tokenizer)
    pieces = special_pieces(tokenizer)
    with torch.inference_mode():
        if way == "at once":
            encoder = load_text_encoder(options.model)[0].eval()
            fill_masks(encoder, queries[:1], pieces, 2, _BEAM)
            began = time.perf_counter()
            some = fill_masks(encoder, queries, pieces, _MASKS, _BEAM)
            found = [[(list(a.pieces), a.score) for a in answers] for answers in some]
        else:
            model = transformers.BertForMaskedLM.from_pretrained(str(options.model)).eval()
            model(input_ids=torch.tensor([queries[0][0]]))
            began = time.perf_counter()
            found = [one_by_one(model, query, pieces) for query in queries]
    seconds = time.perf_counter() - began
    output.write_text(json.dumps({"seconds": seconds, "found": found}))


def main() -> None:
    """Run the benchmark, or one of its processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", type=Path, required=True, help="kg.duckdb.")
    parser.add_argument("--model", type=Path, required=True, help="A BERT with its MLM head.")
    parser.add_argument("--edges", type=int, default=20)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        answer(options.way, options, options.output)
        return
    edges = edges_of(options.database, 10**9)
    shares = []
    for count in (options.edges, _KEBIOLM // 2, len(edges)):
        asked = [(label, h, "") for h, label, _ in edges[:count]] + [
            (label, "", t) for _, label, t in edges[:count]
        ]
        shares.append((len(asked), len(set(asked)), len(set(asked)) / len(asked)))
    show("Equal queries", ("queries", "distinct", "share"), shares)
    rows, found = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for way in ("query by query", "at once"):
            output = Path(folder) / f"{way}.json"
            command = [sys.executable, "-m", "benchmarks.evaluate.probing", "--way", way,
                       "--database", str(options.database), "--model", str(options.model),
                       "--edges", str(options.edges), "--output", str(output)]  # fmt: skip
            cost = measure(command, dict(os.environ))
            made = json.loads(output.read_text())
            found[way] = made["found"]
            rows.append((way, made["seconds"], len(made["found"]) / made["seconds"], cost.peak_mib))
    slow, fast = found["query by query"], found["at once"]
    same = sum(
        [one for one, _ in a[:_BEAM]] == [one for one, _ in b[:_BEAM]]
        for a, b in zip(slow, fast, strict=True)
    )
    show(f"{len(slow)} queries", ("way", "seconds", "queries/s", "peak MiB"), rows)
    gain = rows[0][1] / rows[1][1]
    print(f"the same five answers: {same} of {len(slow)}; {gain:.1f} times as fast")
    distinct = gain * shares[0][2]
    for count, _, share in shares[1:]:
        print(f"derived for the {count:,} queries of so many edges: {distinct / share:.0f} times")


if __name__ == "__main__":
    main()
