import json
import shutil

import numpy as np
import pytest
import torch

from balign.errors import DataError
from balign.pretrain.encoder import load_text_encoder, load_tokenizer, resolve_encoder
from balign.pretrain.packing import pack

IDS = np.array([2, 9, 12, 4, 15, 3, 2, 4, 8, 3], dtype=np.int32)
TEXT = pack(IDS, np.array([0, 6, 10]), np.arange(2))


def test_the_checkpoints_own_head_is_kept(world):
    from transformers import BertForMaskedLM

    own = BertForMaskedLM.from_pretrained(world.encoder_with_head).cls.state_dict()
    counts = np.ones(len(load_tokenizer(world.encoder)), dtype=np.int64)
    encoder, _ = load_text_encoder(world.encoder_with_head, counts)
    assert all(
        torch.equal(own[key], value) for key, value in encoder.model.cls.state_dict().items()
    )


def test_a_new_head_is_tied_and_starts_as_the_normalised_state(world):
    counts = np.arange(len(load_tokenizer(world.encoder)), dtype=np.int64)
    encoder, new_head = load_text_encoder(world.encoder, counts)
    words = encoder.model.get_input_embeddings().weight
    assert new_head
    assert encoder.model.get_output_embeddings().weight is words
    states = encoder.eval().encode(TEXT)
    bias = torch.log((torch.from_numpy(counts) + 0.1) / (counts.sum() + 0.1 * len(counts))).float()
    normalised = torch.nn.functional.layer_norm(states[1:2], (32,), eps=1e-12)
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
                "format": "huggingface", "files": {}, "licence": "Apache-2.0",
                "homepage": "https://example.org"}  # fmt: skip
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


def test_a_tokenizer_of_more_pieces_than_the_encoder_is_refused(world):
    with pytest.raises(DataError, match="the tokenizer has 1000 word pieces"):
        load_text_encoder(world.encoder, np.ones(1000, dtype=np.int64))


def test_the_originals_head_is_random_and_not_tied(world, tmp_path):
    for folder in (world.encoder, world.encoder_with_head):
        torch.manual_seed(1)
        encoder, new_head = load_text_encoder(folder, reproduce_original_head=True)
        words = encoder.model.get_input_embeddings().weight
        output = encoder.model.get_output_embeddings()
        assert new_head and output.weight is not words
        assert not torch.equal(output.weight, words) and output.bias.abs().sum() == 0
        assert 0.01 < output.weight.std().item() < 0.03
        states = encoder.eval().encode(TEXT)
        torch.nn.init.normal_(output.bias)
        logits = encoder.logits(states, torch.tensor([1]))
        encoder.model.save_pretrained(tmp_path / folder.name)
        again, new_head = load_text_encoder(tmp_path / folder.name)
        assert not new_head
        found = again.eval().logits(states, torch.tensor([1]))
        assert torch.allclose(logits, found, atol=1e-5)


def test_a_folder_without_tokenizer_is_refused(tmp_path):
    with pytest.raises(DataError, match="tokenizer"):
        load_tokenizer(tmp_path)
