"""KeBioLM: its batches, and its losses against loops."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import RobertaConfig, RobertaForMaskedLM

from balign import modeling_kebiolm
from balign.errors import DataError
from balign.graph.csr import Graph
from balign.modeling_kebiolm import (
    BEGIN,
    INSIDE,
    OUTSIDE,
    KebiolmConfig,
    Knowledge,
    Mentions,
    find_mentions,
)
from balign.pretrain.batches import Stream, Visit, Vocabulary
from balign.pretrain.data import open_tokens
from balign.pretrain.encoder import load_text_encoder, load_tokenizer
from balign.pretrain.losses import linking_loss
from balign.pretrain.model import PretrainModel
from balign.pretrain.objectives.base import TrainingData
from balign.pretrain.objectives.kebiolm import draw_candidates, mention_spans

VISIT = Visit(7, Stream.TRAIN, 3)
KEBIOLM = {"type": "kebiolm", "top_entities": 3}


@pytest.fixture
def build(world, model_settings):
    def call(entities=None, encoder=None, others=(), **settings):
        tokenizer = load_tokenizer(world.encoder)
        special = np.array(sorted(tokenizer.all_special_ids))
        sizes = (len(tokenizer), tokenizer.pad_token_id, tokenizer.mask_token_id)
        arrays, graph = open_tokens(world.tokens)[0], Graph.open(world.graph)
        data = TrainingData(arrays, graph, Vocabulary(*sizes, special), tokenizer, entities)
        torch.manual_seed(1)
        text, _ = load_text_encoder(encoder or world.encoder)
        return PretrainModel(
            text, data, model_settings(objectives=[{**KEBIOLM, **settings}, *others])
        ).eval()

    return call


def prepared(model, rows=slice(0, 6), visit=VISIT):
    return model.prepare(model.data.arrays.train[rows], visit).parts["kebiolm"]


def test_mentions_are_masked_as_a_whole_and_alike_in_every_batch(build):
    """Over many steps; and a sentence is masked alike whatever is beside it."""
    model = build()
    mask, rows = model.data.vocabulary.mask, model.data.arrays.train[:12]
    seen = {"whole": 0, "mentions": 0, "pieces": 0, "chosen": 0, "hidden": 0, "partly": 0}
    for step in range(60):
        visit = Visit(7, Stream.TRAIN, step)
        part = model.prepare(rows, visit).parts["kebiolm"]
        packed, mentions = part.text.packed, part.mentions
        chosen = torch.zeros(packed.pieces, dtype=torch.bool)
        chosen[part.text.masked] = True
        for number in range(len(mentions.first)):
            inside = mentions.pieces[mentions.owner == number]
            assert inside[0] == mentions.first[number] and inside[-1] == mentions.last[number]
            assert len(set(chosen[inside].tolist())) == 1
            hidden = (packed.ids[inside] == mask).tolist()
            seen["mentions"] += 1
            seen["whole"] += bool(chosen[inside[0]])
            seen["hidden"] += all(hidden)
            seen["partly"] += any(hidden) and not all(hidden)
        seen["pieces"] += packed.pieces - 2 * packed.texts
        seen["chosen"] += len(part.text.masked)
        ids = packed.ids.split(np.diff(packed.offsets).tolist())
        for half in range(2):
            alone = model.prepare(rows[half::2], replace(visit, part=half, parts=2))
            again = alone.parts["kebiolm"].text.packed
            for one, other in zip(
                ids[half::2], again.ids.split(np.diff(again.offsets).tolist()), strict=True
            ):
                assert torch.equal(one, other)
    assert 0.12 < seen["whole"] / seen["mentions"] < 0.18
    assert 0.7 < seen["hidden"] / seen["whole"] < 0.9
    assert seen["partly"] < 0.01 * seen["whole"]  # a random piece may be the mask itself
    assert 0.13 < seen["chosen"] / seen["pieces"] < 0.17


def test_tags_and_links_are_those_of_the_arrays(build):
    model = build()
    arrays, part = model.data.arrays, prepared(model)
    packed, rows = part.text.packed, model.data.arrays.train[:6]
    links, tags = set(), []
    for text, row in enumerate(rows):
        begin = int(packed.offsets[text])
        tags += [OUTSIDE] * int(packed.offsets[text + 1] - begin)
        for m in range(arrays.mention_indptr[row], arrays.mention_indptr[row + 1]):
            first, end = arrays.mention_start[m] + begin, arrays.mention_end[m] + begin
            tags[first:end] = [BEGIN] + [INSIDE] * (end - first - 1)
            links.add((first, end - 1, arrays.mention_node[m]))
    assert part.tags.tolist() == tags
    first, last = (part.mentions[i][part.spans].tolist() for i in range(2))
    assert set(zip(first, last, part.entities.tolist(), strict=True)) == links
    # What the tags tell is what was given.
    for one, other in zip(find_mentions(part.tags, packed.places == 0), part.mentions, strict=True):
        assert torch.equal(one, other)


def test_of_mentions_that_overlap_the_first_stays_with_all_it_names(arrays):
    spans = [(3, 4, 7), (1, 3, 5), (1, 4, 2), (1, 4, 6), (1, 4, 2), (4, 5, 1), (5, 7, 0)]
    start, end, node = (np.array(x, np.int32) for x in zip(*spans, strict=True))
    made = replace(
        arrays, mention_start=start, mention_end=end, mention_node=node,
        mention_indptr=np.array([0, 6, 7, 7]), token_indptr=np.array([0, 9, 18, 20]),
    )  # fmt: skip
    found = mention_spans(made, np.array([1, 2, 0]))
    expected = ([5, 12, 15], [6, 14, 15], [0, 1, 1, 2], [0, 2, 6, 1])
    assert [x.tolist() for x in found] == [list(x) for x in expected]
    assert [len(x) for x in mention_spans(made, np.array([2]))] == [0, 0, 0, 0]


def test_mentions_of_tags():
    """An inside without a beginning before it is none, also behind the start of a text."""
    tags = torch.tensor([2, 1, 2, 2, 0, 2, 1, 1, 2, 2, 0, 1])
    starts = torch.zeros(12, dtype=torch.bool)
    starts[[0, 8]] = True
    found = find_mentions(tags, starts)
    assert found.first.tolist() == [1, 6, 7, 11] and found.last.tolist() == [3, 6, 7, 11]
    assert found.pieces.tolist() == [1, 2, 3, 6, 7, 11]
    assert found.owner.tolist() == [0, 0, 0, 1, 2, 3]
    assert [len(x) for x in find_mentions(torch.zeros(4, dtype=torch.long), starts[:4])] == [0] * 4


def test_the_losses_are_those_of_a_loop(build):
    """In float64, mention by mention and piece by piece, each sentence alone and unpacked."""
    model = build().double()
    part, bert = prepared(model), model.text.model.bert
    found = model.objectives["kebiolm"].losses(model.text, part, None)
    knowledge, table = bert.encoder.knowledge, bert.encoder.knowledge.entities.weight
    packed, mentions = part.text.packed, part.mentions
    nats = {"mlm": [], "detection": [], "linking": []}
    for text in range(packed.texts):
        begin, end = packed.offsets[text : text + 2].tolist()
        states = bert.embeddings(packed.ids[begin:end][None])
        states = bert.encoder.layer[0](states, None)[0]
        for t in range(begin, end):
            scores = knowledge.detection(states[t - begin])
            nats["detection"].append(-scores.log_softmax(0)[part.tags[t]])
        read = states.clone()
        for m in range(len(mentions.first)):
            first, last = int(mentions.first[m]) - begin, int(mentions.last[m]) - begin
            if not 0 <= first < end - begin:
                continue
            vector = knowledge.linking(torch.cat([states[first], states[last]]))
            scores = torch.stack([vector @ row for row in table])
            for entity in part.entities[part.spans == m].tolist():
                nats["linking"].append(-scores.log_softmax(0)[entity])
            top = sorted(range(len(table)), key=lambda k: -scores[k])[:3]
            shares = scores[top].softmax(0)
            entity = sum(a * table[k] for a, k in zip(shares, top, strict=True))
            for t in range(first, last + 1):
                read[t] = knowledge.norm(states[t] + knowledge.projection.weight @ entity)
        logits = model.text.model.cls(bert.encoder.layer[1](read[None], None))[0]
        for position, label in zip(part.text.masked.tolist(), part.text.labels, strict=True):
            if begin <= position < end:
                nats["mlm"].append(-logits[position - begin].log_softmax(0)[label])
    for name, values in nats.items():
        expected = torch.stack(values).mean().item()
        assert found[f"kebiolm_{name}"].item() == pytest.approx(expected, rel=1e-9)


def test_half_precision_is_near(build):
    model = build()
    part, objective = prepared(model), model.objectives["kebiolm"]
    exact = objective.losses(model.text, part, None)
    with torch.autocast("cpu", torch.bfloat16):
        half = objective.losses(model.text, part, None)
    for name, value in exact.items():
        assert half[name].dtype == torch.float32
        assert half[name].item() == pytest.approx(value.item(), rel=0.02)


def test_gradients_of_linking_and_fusion():
    torch.manual_seed(2)
    config = KebiolmConfig(hidden_size=4, entities=6, entity_size=3, top_entities=2)
    knowledge = Knowledge(config).double()
    parameters = dict(knowledge.named_parameters())
    mentions = Mentions(*map(torch.tensor, ([1, 4], [2, 4], [1, 2, 4], [0, 0, 1])))
    states = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)

    def fused(states, *values):
        given = dict(zip(parameters, values, strict=True))
        call = torch.func.functional_call
        vectors = call(_Vectors(knowledge), {f"inner.{k}": v for k, v in given.items()},
                       (states, mentions))  # fmt: skip
        return vectors

    assert torch.autograd.gradcheck(fused, (states, *parameters.values()))
    # What is in no mention stays as it is, to the bit.
    out, _ = fused(states, *parameters.values())
    assert torch.equal(out[[0, 3, 5]], states[[0, 3, 5]])
    assert not torch.equal(out[1], states[1])


class _Vectors(torch.nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, states, mentions):
        vectors = self.inner.vectors(states, mentions)
        some = torch.tensor([3, 1])
        table = self.inner.entities.weight
        loss = linking_loss(vectors, some, table, torch.tensor([0, 3, 5]))
        return self.inner.fuse(states, vectors, mentions), loss + linking_loss(vectors, some, table)


def test_nearest_entities_over_blocks(monkeypatch):
    torch.manual_seed(2)
    knowledge = Knowledge(KebiolmConfig(hidden_size=4, entities=23, entity_size=3, top_entities=5))
    vectors = torch.randn(7, 3)
    expected = (vectors @ knowledge.entities.weight.T).topk(5).indices
    for block in (4, 7, 100):
        monkeypatch.setattr(modeling_kebiolm, "_BLOCK", block)
        assert torch.equal(knowledge.nearest(vectors), expected)


def test_sampled_softmax():
    """With all entities as the sample it is the softmax; a smaller sample has its expectation."""
    random = torch.Generator().manual_seed(4)
    table, vectors = (torch.randn(n, 5, generator=random, dtype=torch.float64) for n in (40, 7))
    right = torch.arange(7) * 3
    whole = linking_loss(vectors, right, table)
    assert torch.equal(torch.from_numpy(draw_candidates(VISIT, 40, 40)), torch.arange(40))
    assert linking_loss(vectors, right, table, torch.arange(40)).item() == pytest.approx(
        whole.item(), rel=1e-12
    )
    counts, sums, losses = np.zeros(40), [], []
    scores = vectors @ table.T
    for step in range(3000):
        drawn = draw_candidates(Visit(7, Stream.TRAIN, step), 16, 40)
        assert len(drawn) == 16 and drawn.min() >= 0 and drawn.max() < 40
        np.add.at(counts, drawn, 1)
        others = torch.from_numpy(drawn)
        wrong = others != right[:, None]
        sums.append((scores[:, others].exp() * wrong).sum(1) * 40 / 16)
        losses.append(linking_loss(vectors, right, table, others).item())
    np.testing.assert_allclose(counts / 3000, 16 / 40, rtol=0.1)
    every = scores.exp().sum(1) - scores[torch.arange(7), right].exp()
    assert torch.allclose(torch.stack(sums).mean(0), every, rtol=0.03)
    assert np.mean(losses) == pytest.approx(whole.item(), rel=0.1)  # Jensen: a little below
    assert linking_loss(vectors[:0], right[:0], table).item() == 0


def test_beside_other_objectives(build):
    """The others' texts, packed too, are read with the mentions that are detected in them."""
    others = [{"type": "mlm"}, {"type": "alignment"}, {"type": "sapbert", "pairs": 4}]
    model = build(others=others).train()
    found = model(model.prepare(model.data.arrays.train[:6], VISIT))
    assert found.keys() == model.weights.keys()
    sum(found.values()).backward()
    assert all(p.grad is not None for p in model.text.model.bert.encoder.parameters())
    with pytest.raises(ValueError, match="adapter freezes the encoder"):
        build(others=[{"type": "adapter"}])


def test_a_large_table_has_candidates(build):
    model = build(softmax_entities=4)
    one, two = prepared(model), prepared(model, visit=replace(VISIT, part=1, parts=2))
    assert len(one.candidates) == 4 and torch.equal(one.candidates, two.candidates)
    other = prepared(model, visit=Visit(7, Stream.TRAIN, 8)).candidates
    assert not torch.equal(one.candidates, other)
    assert all(
        x.isfinite() for x in model.objectives["kebiolm"].losses(model.text, one, None).values()
    )


def test_sentences_without_a_mention(build):
    model = build()
    arrays = model.data.arrays
    bare = replace(arrays, mention_indptr=np.zeros_like(arrays.mention_indptr))
    model.objectives["kebiolm"].data = replace(model.data, arrays=bare)
    part = prepared(model)
    found = model.objectives["kebiolm"].losses(model.text, part, None)
    assert found["kebiolm_linking"] == 0 and found["kebiolm_detection"] > 0
    sum(found.values()).backward()


def test_the_table_starts_from_the_vectors_of_the_graph(build):
    vectors = torch.randn(9, 12) * 4
    table = build(vectors).text.model.bert.encoder.knowledge.entities.weight
    assert torch.allclose(table, torch.nn.functional.normalize(vectors))
    assert torch.allclose(build().text.model.bert.encoder.knowledge.entities.weight.norm(dim=1),
                          torch.ones(9))  # fmt: skip


def test_what_cannot_become_a_kebiolm(build, world, tmp_path):
    with pytest.raises(DataError, match="leave none of 2"):
        build(text_layers=2)
    config = RobertaConfig(
        vocab_size=90, hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=8, max_position_embeddings=70,
    )  # fmt: skip
    RobertaForMaskedLM(config).save_pretrained(tmp_path)
    with pytest.raises(DataError, match="'roberta' cannot become"):
        build(encoder=tmp_path)
