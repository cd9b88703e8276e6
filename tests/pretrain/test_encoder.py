import json
import shutil

import numpy as np
import pytest
import torch

from balign.errors import DataError
from balign.pretrain.encoder import load_text_encoder, load_tokenizer, resolve_encoder

IDS = torch.tensor([[2, 9, 12, 4, 15, 3], [2, 4, 8, 3, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])


def test_logits_at_chosen_positions_are_those_of_the_whole_model(world):
    encoder, new_head = load_text_encoder(world.encoder_with_head)
    encoder.eval()
    full = encoder.model(input_ids=IDS, attention_mask=MASK).logits
    positions = torch.tensor([3, 7])
    sparse = encoder.logits(encoder.states(IDS, MASK), positions)
    assert not new_head
    assert torch.allclose(sparse, torch.stack([full[0, 3], full[1, 1]]), atol=1e-5)


def test_the_checkpoints_own_head_is_kept(world):
    from transformers import BertForMaskedLM

    own = BertForMaskedLM.from_pretrained(world.encoder_with_head).cls.state_dict()
    encoder, _ = load_text_encoder(world.encoder_with_head, np.ones(64, dtype=np.int64))
    assert all(
        torch.equal(own[key], value) for key, value in encoder.model.cls.state_dict().items()
    )


def test_a_new_head_is_tied_and_starts_as_the_normalised_state(world):
    counts = np.arange(len(load_tokenizer(world.encoder)), dtype=np.int64)
    encoder, new_head = load_text_encoder(world.encoder, counts)
    words = encoder.model.get_input_embeddings().weight
    assert new_head
    assert encoder.model.get_output_embeddings().weight is words
    states = encoder.eval().states(IDS, MASK)
    bias = torch.log((torch.from_numpy(counts) + 0.1) / (counts.sum() + 0.1 * len(counts))).float()
    normalised = torch.nn.functional.layer_norm(states[0, 1:2], (32,), eps=1e-12)
    expected = normalised @ words.T + bias
    assert torch.allclose(encoder.logits(states, torch.tensor([1])), expected, atol=1e-2)


def test_a_new_head_without_counts_has_no_bias(world):
    encoder, _ = load_text_encoder(world.encoder)
    assert encoder.model.get_output_embeddings().bias.abs().sum() == 0


def test_body_is_all_but_the_head(world):
    encoder, _ = load_text_encoder(world.encoder)
    head = {n for n, p in encoder.named_parameters() if all(p is not q for q in encoder.body())}
    assert head == {
        "model.cls.predictions.bias",
        *(f"model.cls.predictions.transform.{part}.{kind}"
          for part in ("dense", "LayerNorm") for kind in ("weight", "bias")),
    }  # fmt: skip


def test_a_manifest_stands_for_its_folder(world, tmp_path):
    folder = tmp_path / "minilm" / "1"
    shutil.copytree(world.encoder, folder)
    manifest = {"name": "minilm", "version": "1", "status": "ok", "reason": None,
                "licence": "Apache-2.0", "homepage": "https://example.org"}  # fmt: skip
    (folder / "MANIFEST.json").write_text(json.dumps(manifest))
    found = resolve_encoder(folder / "MANIFEST.json")
    assert (found.path, found.name, found.facts["licence"]) == (folder, "minilm", "Apache-2.0")
    assert found.digests() == resolve_encoder(world.encoder).digests()
    skipped = {**manifest, "status": "skipped", "reason": "not reachable"}
    (folder / "MANIFEST.json").write_text(json.dumps(skipped))
    with pytest.raises(DataError, match="'minilm' was skipped: not reachable"):
        resolve_encoder(folder / "MANIFEST.json")


def test_pickled_weights_are_refused(world, tmp_path):
    shutil.copytree(world.encoder, tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").unlink()
    torch.save({}, tmp_path / "pickled" / "pytorch_model.bin")
    with pytest.raises(DataError, match="safetensors"):
        resolve_encoder(tmp_path / "pickled")


def test_a_checkpoint_without_some_weights_is_refused(world, tmp_path):
    from safetensors.torch import load_file, save_file

    shutil.copytree(world.encoder, tmp_path / "part")
    weights = load_file(tmp_path / "part" / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, tmp_path / "part" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"lacks.*layer\.1\.output\.dense\.weight"):
        load_text_encoder(tmp_path / "part")


def test_an_unknown_head_is_refused(tmp_path):
    from transformers import DistilBertConfig, DistilBertForMaskedLM

    config = DistilBertConfig(vocab_size=9, dim=8, n_layers=1, n_heads=1, hidden_dim=8)
    DistilBertForMaskedLM(config).save_pretrained(tmp_path)
    with pytest.raises(DataError, match="'distilbert'"):
        load_text_encoder(tmp_path)


def test_roberta_gets_a_head_too(tmp_path):
    from transformers import RobertaConfig, RobertaModel

    config = RobertaConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
                           intermediate_size=8, max_position_embeddings=20)  # fmt: skip
    RobertaModel(config).save_pretrained(tmp_path)
    encoder, new_head = load_text_encoder(tmp_path)
    assert new_head and encoder.logits(torch.ones(1, 2, 8), torch.tensor([1])).shape == (1, 9)


def test_a_folder_without_tokenizer_is_refused(tmp_path):
    with pytest.raises(DataError, match="tokenizer"):
        load_tokenizer(tmp_path)
