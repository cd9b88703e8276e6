"""KeBioLM: its batches, its losses against loops, what it learns, and what is written."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoConfig, RobertaConfig, RobertaForMaskedLM

from balign import modeling_kebiolm
from balign.embedding import embed_names, load_encoder
from balign.errors import DataError
from balign.evaluate.finetune import Problem, fine_tune, open_encoder
from balign.evaluate.heads import Item, Pieces
from balign.evaluate.task_settings import FineTuning
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
from balign.pretrain.kge import pretrain_kge
from balign.pretrain.loop import Upkeep
from balign.pretrain.losses import linking_loss
from balign.pretrain.model import PretrainModel
from balign.pretrain.objectives.base import TrainingData
from balign.pretrain.objectives.kebiolm import draw_candidates, mention_spans
from balign.pretrain.packing import pack
from balign.pretrain.settings import KgeSettings, ModelSettings, PretrainSettings
from balign.pretrain.train import pretrain_train

VISIT = Visit(7, Stream.TRAIN, 3)
KEBIOLM = {"type": "kebiolm", "top_entities": 3}


@pytest.fixture(scope="module")
def kge(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kge")
    settings = KgeSettings(name="transe", size=12, epochs=3)
    pretrain_kge(settings, world.graph, folder / "transe", folder / "checkpoints", threads=1)
    return folder / "transe"


@pytest.fixture
def build(world, model_settings):
    def call(entities=None, encoder=None, **settings):
        tokenizer = load_tokenizer(world.encoder)
        special = np.array(sorted(tokenizer.all_special_ids))
        sizes = (len(tokenizer), tokenizer.pad_token_id, tokenizer.mask_token_id)
        arrays, graph = open_tokens(world.tokens)[0], Graph.open(world.graph)
        data = TrainingData(arrays, graph, Vocabulary(*sizes, special), tokenizer, entities)
        torch.manual_seed(1)
        text, _ = load_text_encoder(encoder or world.encoder)
        return PretrainModel(
            text, data, model_settings(objectives=[{**KEBIOLM, **settings}])
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


def test_vectors_that_are_missing_or_of_another_graph(world, kge, model_settings, tmp_path):
    with pytest.raises(ValueError, match=r"no .transe. in .*; there are: none"):
        PretrainSettings(models=[model_settings(objectives=[{**KEBIOLM, "kge": "transe"}])])
    settings = model_settings(objectives=[{**KEBIOLM, "kge": "transe"}])
    given = (settings, world.encoder, world.tokens, world.graph, tmp_path / "o", tmp_path / "c")
    with pytest.raises(DataError, match="none are given"):
        pretrain_train(*given, threads=1)
    facts = json.loads((kge / "kge.json").read_text())
    facts["graph"]["indices.npy"] = "0"
    (tmp_path / "kge").mkdir()
    for name in ("entities.npy", "relations.npy"):
        (tmp_path / "kge" / name).write_bytes((kge / name).read_bytes())
    (tmp_path / "kge" / "kge.json").write_text(json.dumps(facts))
    with pytest.raises(DataError, match="another graph"):
        pretrain_train(*given, threads=1, kge=tmp_path / "kge")


@pytest.fixture(scope="module")
def trained(world, kge, tmp_path_factory):
    """A run that starts from the graph's vectors."""
    folder = tmp_path_factory.mktemp("trained")
    settings = ModelSettings.model_validate(
        {
            "name": "kebiolm",
            "objectives": [{**KEBIOLM, "kge": "transe"}],
            "steps": 120,
            "batch_sentences": 8,
            "learning_rate": 3e-3,
            "learning_rate_new": 1e-2,
            "warmup_encoder_frozen": 2,
            "gradient_checkpointing": True,
        }
    )
    upkeep = Upkeep(log=20, checkpoint=200, validate=120)
    pretrain_train(
        settings, world.encoder, world.tokens, world.graph, folder / "model", folder / "c", upkeep,
        threads=1, kge=kge,
    )  # fmt: skip
    return folder / "model"


def test_training_learns(trained):
    lines = [json.loads(x) for x in (trained / "metrics.jsonl").read_text().splitlines()]
    train = [line for line in lines if line["split"] == "train"]
    assert train[-1]["loss"] < 0.8 * train[0]["loss"]
    first, last = (line for line in lines if line["split"] == "validation")
    for name in ("mlm", "detection", "linking"):
        assert last[f"kebiolm_{name}"] < first[f"kebiolm_{name}"]
    assert last["mention_f1"] > 0.8 and last["linked_at_1"] > first["linked_at_1"]
    assert "trust_remote_code=True" in (trained / "README.md").read_text()


REMOTE = """
import sys, torch
from transformers import AutoModel, AutoModelForMaskedLM, AutoModelForTokenClassification
from transformers import AutoTokenizer
folder = sys.argv[1]
batch = AutoTokenizer.from_pretrained(folder)(
    ["severe asthma", "patients had acute heart failure ."], padding=True, return_tensors="pt")
model = AutoModel.from_pretrained(folder, trust_remote_code=True).eval()
head = AutoModelForMaskedLM.from_pretrained(folder, trust_remote_code=True).eval()
words = AutoModelForTokenClassification.from_pretrained(
    folder, trust_remote_code=True, num_labels=5)
assert "balign" not in sys.modules and type(model).__name__ == "KebiolmModel"
assert words(**batch).logits.shape[-1] == 5
with torch.no_grad():
    states = model(**batch).last_hidden_state
    torch.save((dict(batch), states, head(**batch).logits), sys.argv[2])
"""


def test_the_folder_loads_without_balign_and_gives_the_same_states(trained, tmp_path):
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {
        "HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", REMOTE, str(trained), str(tmp_path / "out.pt")],
        env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    batch, states, logits = torch.load(tmp_path / "out.pt")
    encoder = load_encoder(trained)
    assert type(encoder.model) is modeling_kebiolm.KebiolmModel
    with torch.no_grad():
        own = encoder.model(**batch).last_hidden_state
    assert torch.allclose(own[batch["attention_mask"] == 1], states[batch["attention_mask"] == 1],
                          atol=1e-5)  # fmt: skip
    text, new_head = load_text_encoder(trained)
    assert not new_head
    with torch.no_grad():
        assert torch.allclose(text.eval().model(**batch).logits[0, :4], logits[0, :4], atol=1e-4)
    source = Path(modeling_kebiolm.__file__).read_text()
    assert (trained / "modeling_kebiolm.py").read_text() == source
    assert (trained / "entities.txt").read_text().split() == [f"C0{i}" for i in range(1, 10)]
    assert not list(trained.glob("*.bin")) and len(list(trained.glob("*.safetensors"))) == 1
    assert AutoConfig.from_pretrained(trained).entity_size == 12


def test_padding_and_packing_change_nothing(trained, world):
    """Detected mentions, in a padded batch, alone, and in packed texts."""
    encoder = load_encoder(trained)
    arrays = open_tokens(world.tokens)[0]
    rows = arrays.train[:5]
    text, _ = load_text_encoder(trained)
    packed = pack(arrays.tokens, arrays.token_indptr, rows)
    with torch.no_grad():
        together = text.eval().encode(packed)
        for i, ids in enumerate(packed.ids.split(np.diff(packed.offsets).tolist())):
            alone = encoder.model(input_ids=ids[None]).last_hidden_state[0]
            padded = torch.cat([ids, torch.zeros(5, dtype=torch.long)])[None]
            mask = (torch.arange(len(ids) + 5) < len(ids)).long()[None]
            filled = encoder.model(padded, attention_mask=mask).last_hidden_state[0, : len(ids)]
            assert torch.allclose(alone, filled, atol=1e-5)
            assert torch.allclose(alone, together[packed.owner == i], atol=1e-4)


def test_texts_are_embedded_with_the_entities_that_are_detected(trained):
    encoder = load_encoder(trained)
    texts = [
        "No asthma was treated with heart failure in rats.",
        "Patients with insulin were treated for 2 mg.",
        "a study",
    ]
    vectors = embed_names(encoder, texts, "texts")
    assert vectors.shape == (3, 32)
    knowledge = encoder.model.encoder.knowledge
    with torch.no_grad():
        knowledge.projection.weight.add_(torch.randn_like(knowledge.projection.weight))
    changed = embed_names(encoder, texts, "texts")
    difference = np.abs(vectors - changed).max(1)
    assert (difference[:2] > 1e-2).all()
    assert difference[2] < 1e-6  # no mention, no entity


def test_mentions_can_be_learnt_from_the_folder(trained):
    """A pass of fine-tuning for named entities by the evaluation's own engine."""
    texts = ["severe asthma", "patients had diabetes", "acute heart failure", "no fever in rats"]
    tagged = {"asthma", "diabetes", "heart", "failure", "fever"}

    def make():
        return open_encoder(trained, ["@GENE$"])

    tokenizer = make().tokenizer
    items = []
    for text in texts * 4:
        words = text.split()
        ids = tokenizer(text)["input_ids"]
        anchors = list(range(1, 1 + len(words)))
        items.append(Item([Pieces(ids, (), anchors)], [int(word in tagged) for word in words]))

    def accuracy(logits):
        right = [one.argmax(1) == item.target for one, item in zip(logits, items, strict=True)]
        return float(np.concatenate(right).mean())

    fast = FineTuning(learning_rate=5e-3, batch_size=8, epochs=3)
    tuned = fine_tune(make, Problem("words", 2, items, items, accuracy), fast, seed=1)
    assert max(tuned.history) > 0.8
    assert isinstance(tuned.model.encoder, modeling_kebiolm.KebiolmModel)
