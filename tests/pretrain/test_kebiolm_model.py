"""KeBioLM: what a run learns, what is written, and what the evaluation makes of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoConfig

from balign import modeling_kebiolm
from balign.embedding import embed_names, load_encoder
from balign.errors import DataError
from balign.evaluate.finetune import Problem, fine_tune, open_encoder
from balign.evaluate.heads import Item, Pieces
from balign.evaluate.task_settings import FineTuning
from balign.pretrain.data import open_tokens
from balign.pretrain.encoder import load_text_encoder
from balign.pretrain.kge import pretrain_kge
from balign.pretrain.loop import Upkeep
from balign.pretrain.packing import pack
from balign.pretrain.settings import KgeSettings, ModelSettings, PretrainSettings
from balign.pretrain.train import pretrain_train

KEBIOLM = {"type": "kebiolm", "top_entities": 3}


@pytest.fixture(scope="module")
def kge(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kge")
    settings = KgeSettings(name="transe", size=12, epochs=3)
    pretrain_kge(settings, world.graph, folder / "transe", folder / "checkpoints", threads=1)
    return folder / "transe"


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
from transformers import AutoModelForSequenceClassification, AutoTokenizer
folder = sys.argv[1]
batch = AutoTokenizer.from_pretrained(folder)(
    ["severe asthma", "patients had acute heart failure ."], padding=True, return_tensors="pt")
model = AutoModel.from_pretrained(folder, trust_remote_code=True).eval()
head = AutoModelForMaskedLM.from_pretrained(folder, trust_remote_code=True).eval()
words = AutoModelForTokenClassification.from_pretrained(
    folder, trust_remote_code=True, num_labels=5)
assert "balign" not in sys.modules and type(model).__name__ == "KebiolmModel"
assert words(**batch).logits.shape[-1] == 5
texts = AutoModelForSequenceClassification.from_pretrained(
    folder, trust_remote_code=True, num_labels=3)
assert texts(**batch).logits.shape == (2, 3)
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
    assert embed_names(encoder, texts, "texts", "first_last").shape == (3, 32)
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
