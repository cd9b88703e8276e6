"""The objectives that draw examples of their own: what they draw, and that they learn."""

import itertools
import json

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel

from balign.errors import DataError
from balign.graph.csr import Graph
from balign.pretrain.batches import Stream, Visit, Vocabulary
from balign.pretrain.data import open_tokens
from balign.pretrain.encoder import load_text_encoder, load_tokenizer
from balign.pretrain.loop import Upkeep
from balign.pretrain.model import PretrainModel
from balign.pretrain.objectives.adapter import share_out
from balign.pretrain.objectives.base import TrainingData
from balign.pretrain.train import pretrain_train

VISIT = Visit(7, Stream.TRAIN, 3)


@pytest.fixture
def build(world, model_settings):
    def call(*objectives, graph=None, **settings):
        tokenizer = load_tokenizer(world.encoder)
        special = np.array(sorted(tokenizer.all_special_ids))
        sizes = (len(tokenizer), tokenizer.pad_token_id, tokenizer.mask_token_id)
        data = TrainingData(
            open_tokens(world.tokens)[0],
            graph or Graph.open(world.graph),
            Vocabulary(*sizes, special),
            tokenizer,
        )
        torch.manual_seed(1)
        text, _ = load_text_encoder(world.encoder)
        settings = model_settings(objectives=list(objectives), **settings)
        return PretrainModel(text, data, settings).eval()

    return call


def texts(model, packed):
    """The words of packed texts, special pieces included."""
    words = model.data.tokenizer.convert_ids_to_tokens(packed.ids.tolist())
    return [words[a:b] for a, b in zip(packed.offsets[:-1], packed.offsets[1:], strict=True)]


def name_pieces(model, node):
    """The pieces of each name of a concept."""
    graph = model.data.graph
    names = graph.names[graph.name_indptr[node] : graph.name_indptr[node + 1]]
    return {tuple(model.data.tokenizer.tokenize(name)) for name in names}


def test_sapbert_draws_two_names_of_each_concept(build):
    model = build({"type": "sapbert", "pairs": 40})
    part = model.prepare(model.data.arrays.train[:4], VISIT).parts["sapbert"]
    found = texts(model, part.names.packed)
    assert len(found) == len({tuple(one) for one in found})
    seen = set()
    for one, two, label in zip(*part.names.rows.view(2, -1), part.labels[:40], strict=True):
        names = [tuple(found[int(i)][1:-1]) for i in (one, two)]
        assert names[0] != names[1] and set(names) <= name_pieces(model, int(label))
        seen.add(tuple(names))
    assert len(seen) > 4


def test_definitions_go_with_their_concepts(build):
    model = build({"type": "definitions", "pairs": 30, "max_tokens": 8})
    part = model.prepare(model.data.arrays.train[:4], VISIT).parts["definitions"]
    names, found = texts(model, part.names.packed), texts(model, part.definitions.packed)
    defined = dict(model.data.graph.definitions.rows())
    for i, node in enumerate(part.labels.tolist()):
        definition = found[int(part.definitions.rows[i])]
        assert len(definition) <= 8
        whole = model.data.tokenizer.tokenize(defined[node])
        assert definition[1:-1] == whole[: len(definition) - 2]
        assert tuple(names[int(part.names.rows[i])][1:-1]) in name_pieces(model, node)


def test_triples_are_written_for_their_task(build):
    model = build({"type": "kgi", "triples": 300})
    graph = model.data.graph
    part = model.prepare(model.data.arrays.train[:4], VISIT).parts["kgi"]
    found = texts(model, part.packed)
    owners = {}
    for node in range(len(graph)):
        for name in name_pieces(model, node):
            owners.setdefault(name, set()).add(node)
    triples = {tuple(triple) for triple in graph.triples().tolist()}
    labels = [tuple(model.data.tokenizer.tokenize(label)) for label in graph.relation_labels]

    def parse(words):
        """The names between [CLS] and [SEP]s, and the relation that the second starts with."""
        assert words[0] == "[CLS]" and words[-1] == "[SEP]" and words.count("[SEP]") == 2
        middle = words.index("[SEP]")
        return tuple(words[1:middle]), tuple(words[middle + 1 : -1])

    def edges(head, relation, tail):
        return {(h, relation, t) for h in owners[head] for t in owners[tail]}

    for text, answer in zip(part.asked.tolist(), part.relations.tolist(), strict=True):
        head, tail = parse(found[text])
        assert edges(head, answer, tail) & triples
    truths = []
    for text, true in zip(part.judged.tolist(), part.truth.tolist(), strict=True):
        head, rest = parse(found[text])
        (relation,) = (i for i, one in enumerate(labels) if rest[: len(one)] == one)
        if true:
            assert edges(head, relation, rest[len(labels[relation]) :]) & triples
        truths.append(true)
    assert 0.3 < np.mean(truths) < 0.7
    masked = 0
    rest = set(range(len(found))) - {*part.asked.tolist(), *part.judged.tolist()}
    for text in rest:
        head, tail = parse(found[text])
        assert ("[MASK]" in head) != ("[MASK]" in tail)
        masked += sum(word == "[MASK]" for word in found[text])
        if "[MASK]" in head:
            assert set(head) == {"[MASK]"}
    assert masked == len(part.masked) == len(part.labels)
    assert len(part.asked) == len(part.judged) == 100


def test_the_losses_of_triples_are_those_of_a_loop(build):
    """In float64, text by text, by the definition of each cross entropy."""
    model = build({"type": "kgi", "triples": 24}).double()
    part = model.prepare(model.data.arrays.train[:4], VISIT).parts["kgi"]
    objective = model.objectives["kgi"]
    found = objective.losses(model.text, part, None)
    bounds = part.packed.offsets.tolist()
    nats = {"entity": [], "relation": [], "triple": []}
    for text, (start, end) in enumerate(itertools.pairwise(bounds)):
        ids = part.packed.ids[start:end][None]
        out = model.text.model(input_ids=ids, output_hidden_states=True)
        first = out.hidden_states[-1][0, 0]
        for position, label in zip(part.masked.tolist(), part.labels.tolist(), strict=True):
            if start <= position < end:
                nats["entity"].append(-out.logits[0, position - start].log_softmax(0)[label])
        if text in part.asked.tolist():
            answer = part.relations[part.asked.tolist().index(text)]
            nats["relation"].append(-objective.relation_head(first).log_softmax(0)[answer])
        if text in part.judged.tolist():
            truth = part.truth[part.judged.tolist().index(text)]
            chance = objective.truth_head(first).sigmoid()[0]
            nats["triple"].append(-(chance if truth else 1 - chance).log())
    for name, values in nats.items():
        assert found[f"kgi_{name}"].item() == pytest.approx(
            torch.stack(values).mean().item(), rel=1e-5
        )


@pytest.mark.parametrize("name", ["sapbert", "definitions", "kgi"])
def test_two_parts_together_draw_what_one_draws(build, name):
    count = {"sapbert": "pairs", "definitions": "pairs", "kgi": "triples"}[name]
    model = build({"type": name, count: 12})
    rows = model.data.arrays.train[:4]

    def drawn(part):
        packed = next(part.packs())
        return [tuple(words) for words in texts(model, packed)]

    whole = drawn(model.prepare(rows, VISIT).parts[name])
    halves = [
        text
        for i in range(2)
        for text in drawn(model.prepare(rows, Visit(7, Stream.TRAIN, 3, i, 2)).parts[name])
    ]
    assert set(whole) == set(halves)


OBJECTIVES = {
    "sapbert": [{"type": "sapbert", "pairs": 8}],
    "definitions": [{"type": "definitions", "pairs": 8}],
    "kgi": [{"type": "kgi", "triples": 24}],
    "adapter": [{"type": "adapter", "triples": 24, "parts": 2, "rank": 4}],
    "all": [
        {"type": "mlm", "weight": 0.5},
        {"type": "alignment"},
        {"type": "sapbert", "pairs": 8},
        {"type": "definitions", "pairs": 8},
        {"type": "kgi", "triples": 24},
    ],
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_each_learns_alone_and_together(world, model_settings, tmp_path, name):
    rates = {"learning_rate": 3e-3, "learning_rate_new": 1e-2 if name == "adapter" else 1e-3}
    settings = model_settings(objectives=OBJECTIVES[name], steps=40, **rates)
    upkeep = Upkeep(log=10, checkpoint=100, validate=40)
    pretrain_train(
        settings, world.encoder, world.tokens, world.graph, tmp_path / "out", tmp_path / "c",
        upkeep, threads=1,
    )  # fmt: skip
    lines = [json.loads(x) for x in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    train = [line for line in lines if line["split"] == "train"]
    assert train[-1]["loss"] < 0.9 * train[0]["loss"]
    validation = [line for line in lines if line["split"] == "validation"]
    assert validation[-1]["loss"] < validation[0]["loss"]
    assert AutoModel.from_pretrained(tmp_path / "out").config.hidden_size == 32
    if name == "adapter":
        parts = json.loads((tmp_path / "out" / "adapters.json").read_text())["parts"]
        assert sorted(x for part in parts.values() for x in part) == ["is_a", "treats"]
        assert len(load_file(tmp_path / "out" / "adapters.safetensors")) > 8


@pytest.mark.parametrize("name", ["sapbert", "definitions", "kgi"])
def test_a_graph_without_what_they_need(build, world, name):
    graph = Graph.open(world.graph)
    bare = {
        "sapbert": {"name_indptr": np.arange(len(graph) + 1)},
        "kgi": {"indices": np.zeros(0, np.int32), "edge_relations": np.zeros(0, np.int32),
                "indptr": np.zeros(len(graph) + 1, np.int64)},
        "definitions": {},
    }[name]  # fmt: skip
    graph = Graph(**{**vars(graph), **bare})
    if name == "definitions":
        schema = {"node": pl.Int32, "definition": pl.String}
        graph.__dict__["definitions"] = pl.DataFrame(schema=schema)
    with pytest.raises(DataError, match=f"leave `{name}` out"):
        build({"type": name}, graph=graph)


def test_adapters_share_the_relations_and_leave_the_encoder_as_it_is(build):
    model = build({"type": "adapter", "triples": 24, "parts": 2, "rank": 4})
    objective, rows = model.objectives["adapter"], model.data.arrays.train[:4]
    before = {k: v.clone() for k, v in model.named_parameters()}
    model.train()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(4):
        batch = model.prepare(rows, Visit(7, Stream.TRAIN, step))
        number = batch.parts["adapter"].number
        assert number == step % 2
        optimiser.zero_grad()
        sum(model(batch).values()).backward()
        optimiser.step()
        learnt = {k for k, v in model.named_parameters() if "lora_" in k and v.grad is not None}
        assert learnt and all(f".part{number}." in name for name in learnt)
    for name, value in model.named_parameters():
        fixed = name.startswith("text.model.bert") and "lora_" not in name
        assert not fixed or torch.equal(value, before[name]), name
    assert sorted(objective.part_of.tolist()) == [0, 1]


def test_merged_adapters_are_their_mean(build):
    model = build({"type": "adapter", "triples": 24, "parts": 2, "rank": 4})
    objective = model.objectives["adapter"]
    for name, value in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(value)
    layer = model.text.model.bert.encoder.layer[0].attention.self.query
    scale = layer.scaling["part0"]
    deltas = [
        scale * layer.lora_B[part].weight @ layer.lora_A[part].weight for part in objective.names
    ]
    expected = layer.base_layer.weight + (deltas[0] + deltas[1]) / 2
    model.finish()
    merged = model.text.model.bert.encoder.layer[0].attention.self.query
    assert type(merged) is torch.nn.Linear
    assert torch.allclose(merged.weight, expected, atol=1e-5)
    assert not any("lora_" in name for name, _ in model.named_parameters())


def test_relations_are_shared_out_evenly():
    assert share_out(np.array([5, 0, 9, 4, 1]), 2).tolist() == [1, -1, 0, 1, 0]
    assert share_out(np.array([0, 3]), 4).tolist() == [-1, 0]
