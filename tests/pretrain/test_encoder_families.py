"""Small random models of each architecture, saved and loaded as a user's would be."""

import numpy as np
import pytest
import torch
import transformers
from torch.nn.functional import cosine_similarity, layer_norm

from balign.errors import DataError
from balign.pretrain.encoder import TextEncoder, load_text_encoder
from balign.pretrain.packing import pack

PIECES = 50
SIZES = {
    "vocab_size": PIECES,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 20,
    "max_position_embeddings": 40,
}
RELATIVE = {
    "relative_attention": True,
    "pos_att_type": ["c2p", "p2c"],
    "position_biased_input": False,
}
FAMILIES = {
    "bert": ("Bert", {}),
    "roberta": ("Roberta", {"pad_token_id": 1}),
    "camembert": ("Camembert", {"pad_token_id": 1}),
    "deberta": ("Deberta", RELATIVE),
    "deberta-v2": ("DebertaV2", {**RELATIVE, "position_buckets": 8, "share_att_key": True}),
    "deberta-v2, newer head": ("DebertaV2", {**RELATIVE, "legacy": False}),
    "modernbert": ("ModernBert", {"pad_token_id": 0, "cls_token_id": 1, "bos_token_id": 1,
                                  "sep_token_id": 2, "eos_token_id": 2, "local_attention": 4}),
    "electra": ("Electra", {"embedding_size": 16}),
    "electra, narrow": ("Electra", {"embedding_size": 8}),
    "distilbert": ("DistilBert", {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 20}),
    "mpnet": ("MPNet", {"pad_token_id": 1}),
}  # fmt: skip


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture
def saved(family, tmp_path):
    """A model with head, and the folder of its encoder alone."""
    name, values = FAMILIES[family]
    config = getattr(transformers, f"{name}Config")(**{**SIZES, **values})
    torch.manual_seed(4)
    model = transformers.AutoModelForMaskedLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    model.save_pretrained(tmp_path / "whole")
    model.base_model.save_pretrained(tmp_path / "body")
    return model.eval(), tmp_path


def texts(padding):
    """Three texts, padded with their mask, and packed."""
    ids = torch.randint(5, PIECES, (3, 9), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    ids[1, 6:], mask[1, 6:] = padding, 0
    real = ids[mask == 1].numpy().astype(np.int32)
    return ids, mask, pack(real, np.array([0, 9, 15, 24]), np.arange(3))


def test_logits_at_chosen_positions_are_those_of_the_models_own_forward(saved):
    model, folder = saved
    encoder, new_head = load_text_encoder(folder / "whole")
    encoder.eval()
    ids, mask, packed = texts(model.config.pad_token_id)
    with torch.no_grad():
        full = model(input_ids=ids, attention_mask=mask).logits[mask == 1]
        states = encoder.encode(packed)
        every = encoder.logits(states, torch.arange(24))
        some = encoder.logits(states, torch.tensor([4, 11, 23]))
    assert not new_head
    assert torch.allclose(every, full, atol=1e-5)
    assert torch.allclose(some, full[[4, 11, 23]], atol=1e-5)


def test_a_new_head_starts_as_normalised_state_and_log_frequency(saved, family):
    model, folder = saved
    counts = np.arange(PIECES - 2, dtype=np.int64)  # a vocabulary is often padded
    encoder, new_head = load_text_encoder(folder / "body", counts)
    encoder.eval()
    _, _, packed = texts(model.config.pad_token_id)
    words = encoder.model.get_input_embeddings().weight
    with torch.no_grad():
        states = encoder.encode(packed)
        logits = encoder.logits(states, torch.arange(24))
    assert new_head
    frequency = np.append(counts, [0, 0]) + 0.1
    bias = torch.from_numpy(np.log(frequency / frequency.sum())).float()
    if words.shape[1] == states.shape[-1]:
        expected = layer_norm(states, states.shape[-1:]) @ words.T
        least = 0.99 if family == "modernbert" else 0.9999
        assert cosine_similarity(logits - bias, expected).min() > least
    else:  # random, but the frequencies are there
        assert cosine_similarity(logits.mean(0), bias, dim=0) > 0.5
    # Tied: the embeddings learn from the head, and only what is not the encoder's is new.
    torch.logsumexp(encoder.logits(states, torch.arange(3)), 1).sum().backward()
    assert words.grad.abs().sum() > 0
    assert any(words is parameter for parameter in encoder.body())


def test_gradients_reach_the_encoder_and_the_head(saved):
    model, folder = saved
    encoder, _ = load_text_encoder(folder / "whole")
    _, _, packed = texts(model.config.pad_token_id)
    encoder.logits(encoder.encode(packed), torch.tensor([2, 3])).pow(2).sum().backward()
    lacking = {name for name, p in encoder.named_parameters() if p.grad is None}
    assert not {name for name in lacking if "pooler" not in name}  # which has no part in MLM
    names = [name for name, _ in encoder.named_parameters()]
    assert len(names) == len(set(names)) == len(list(model.named_parameters()))


def test_an_architecture_without_such_a_head_is_refused():
    config = transformers.T5Config(
        vocab_size=20, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2
    )
    with pytest.raises(DataError, match="'t5'"):
        TextEncoder(transformers.T5ForConditionalGeneration(config))
