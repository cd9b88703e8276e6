import copy

import numpy as np
import pytest
import torch

from balign.pretrain.packing import _groups, enable_packing, encode_packed, pack

LENGTHS = [4, 4, 1, 9, 30, 12, 12]


def models():
    from transformers import (
        BertConfig,
        BertForMaskedLM,
        DebertaV2Config,
        DebertaV2ForMaskedLM,
        ElectraConfig,
        ElectraForMaskedLM,
        ModernBertConfig,
        ModernBertForMaskedLM,
        RobertaConfig,
        RobertaForMaskedLM,
    )

    size = {
        "vocab_size": 50,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "max_position_embeddings": 64,
    }
    return {
        "bert": (BertForMaskedLM, BertConfig(**size), True),
        "electra": (ElectraForMaskedLM, ElectraConfig(**size, embedding_size=16), True),
        "roberta": (RobertaForMaskedLM, RobertaConfig(**size, pad_token_id=1), True),
        "modernbert": (
            ModernBertForMaskedLM,
            ModernBertConfig(
                **size,
                local_attention=8,
                global_attn_every_n_layers=2,
                pad_token_id=0,
                bos_token_id=1,
                eos_token_id=2,
                cls_token_id=1,
                sep_token_id=2,
            ),
            True,
        ),
        "deberta": (
            DebertaV2ForMaskedLM,
            DebertaV2Config(**size, relative_attention=True, pos_att_type=["p2c", "c2p"]),
            False,
        ),
    }


@pytest.fixture(params=["bert", "electra", "roberta", "modernbert", "deberta"])
def case(request):
    kind, config, packs = models()[request.param]
    torch.manual_seed(3)
    return kind(config).eval(), packs


def texts():
    ids = np.random.default_rng(1).integers(3, 50, sum(LENGTHS)).astype(np.int32)
    return ids, np.concatenate([[0], np.cumsum(LENGTHS)])


def test_pack():
    pieces = np.array([7, 8, 9, 4, 5, 6], dtype=np.int32)
    text = pack(pieces, np.array([0, 3, 4, 6]), np.array([2, 1, 0]))
    assert text.ids.tolist() == [5, 6, 4, 7, 8, 9]
    assert text.places.tolist() == [0, 1, 0, 0, 1, 2]
    assert text.owner.tolist() == [0, 0, 1, 2, 2, 2]
    assert text.offsets.tolist() == [0, 2, 3, 6] and text.offsets.dtype == torch.int32
    assert text.lengths == ((1, 2), (1, 1), (1, 3))
    assert (text.texts, text.pieces) == (3, 6)
    assert pack(pieces, np.array([0, 2, 4, 6]), np.arange(3)).lengths == ((3, 2),)
    nothing = pack(pieces, np.array([0, 3]), np.zeros(0, dtype=np.int64))
    assert nothing.lengths == () and nothing.offsets.tolist() == [0]


def test_no_text_has_no_states(case):
    model, _ = case
    nothing = pack(np.zeros(3, dtype=np.int32), np.array([0, 3]), np.zeros(0, dtype=np.int64))
    assert encode_packed(model, nothing).shape == (0, 32)


def test_padded_groups_hold_neighbours_of_like_length():
    assert _groups(((2, 4), (1, 8), (3, 9), (1, 2))) == [(3, 8, 16), (3, 9, 27), (1, 2, 2)]


def test_packed_states_and_gradients_are_those_of_each_text_alone(case):
    """Also across a local window (ModernBERT: 4 to each side) and RoBERTa's shifted places."""
    model, packs = case
    alone = copy.deepcopy(model)
    assert enable_packing(model) == packs
    ids, indptr = texts()
    rows = np.argsort(LENGTHS, kind="stable")
    text = pack(ids, indptr, rows)
    expected = torch.cat(
        [
            alone.base_model(torch.from_numpy(ids[indptr[i] : indptr[i + 1]]).long()[None])
            .last_hidden_state[0]
            for i in rows
        ]
    )  # fmt: skip
    states = encode_packed(model, text)
    assert torch.allclose(states, expected, atol=1e-5)

    weights = torch.randn(states.shape, generator=torch.Generator().manual_seed(0))
    (states * weights).sum().backward()
    (expected * weights).sum().backward()
    for (name, one), other in zip(model.named_parameters(), alone.parameters(), strict=True):
        if other.grad is not None:
            assert torch.allclose(one.grad, other.grad, atol=1e-4), name


def test_a_model_that_packs_still_takes_padded_text(case):
    model, packs = case
    ids = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 11]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    before = model(input_ids=ids, attention_mask=mask).logits
    assert enable_packing(model) == packs
    after = model(input_ids=ids, attention_mask=mask).logits
    assert torch.allclose(before[mask == 1], after[mask == 1], atol=1e-5)


def test_a_model_that_answers_otherwise_when_packed_is_fed_padded_text(monkeypatch):
    """Whether a model packs is found out by trying, not by its name."""
    kind, config, _ = models()["roberta"]
    model = kind(config).eval()
    del model.roberta.embeddings.padding_idx  # the sign of the shifted places
    model.roberta.embeddings.padding_idx = None
    monkeypatch.setattr(
        type(model.roberta.embeddings),
        "create_position_ids_from_input_ids",
        staticmethod(lambda ids, *_: (ids * 0 + 1).cumsum(1)),
    )
    assert not enable_packing(model)
    assert model.config._attn_implementation == "sdpa"
    ids, indptr = texts()
    assert encode_packed(model, pack(ids, indptr, np.arange(3))).shape == (9, 32)


def test_batches_move_whole():
    ids, indptr = texts()
    text = pack(ids, indptr, np.arange(3)).to(torch.device("meta"))
    assert text.ids.is_meta and text.offsets.is_meta and text.lengths == ((2, 4), (1, 1))


@pytest.mark.gpu
def test_variable_length_kernel_agrees_with_padding():
    kind, config, _ = models()["bert"]
    config.num_attention_heads, config.hidden_size = 2, 64
    model = kind(config).cuda().eval()
    ids, indptr = texts()
    text = pack(ids, indptr, np.arange(len(LENGTHS))).pin().to(torch.device("cuda"))
    expected = encode_packed(model, text)
    assert enable_packing(model)
    with torch.autocast("cuda", torch.bfloat16):
        states = encode_packed(model, text)
    assert torch.allclose(states.float(), expected, atol=0.05)
