import pytest
import torch

from balign.pretrain.graph_encoder import GraphEncoder, load_graph_encoder, save_graph_encoder
from balign.pretrain.settings import GraphEncoderSettings


def build(**values):
    torch.manual_seed(3)
    return GraphEncoder(8, 4, GraphEncoderSettings(**values)).eval()


FEATURES = torch.randn(5, 8, generator=torch.Generator().manual_seed(1))
EDGES = torch.tensor([[2, 3, 4], [0, 0, 1]])  # centres 0 and 1
RELATIONS = torch.tensor([0, 5, 2])


def test_a_centre_depends_on_its_own_neighbours_alone():
    encoder = build()
    out = encoder(FEATURES, EDGES, RELATIONS, 2)
    other = FEATURES.clone()
    other[4] += 1
    changed = encoder(other, EDGES, RELATIONS, 2)
    assert out.shape == (2, 8)
    assert torch.allclose(out[0], changed[0]) and not torch.allclose(out[1], changed[1])


def test_the_relation_counts_only_when_asked_for():
    turned = torch.tensor([4, 5, 2])
    assert not torch.allclose(
        build()(FEATURES, EDGES, RELATIONS, 2)[0], build()(FEATURES, EDGES, turned, 2)[0]
    )
    without = build(relations=False)
    assert torch.equal(without(FEATURES, EDGES, RELATIONS, 2), without(FEATURES, EDGES, turned, 2))


def test_the_order_of_neighbours_does_not_count():
    encoder = build()
    order = torch.tensor([1, 0, 2])
    assert torch.allclose(
        encoder(FEATURES, EDGES, RELATIONS, 2),
        encoder(FEATURES, EDGES[:, order], RELATIONS[order], 2),
        atol=1e-6,
    )


def test_a_node_starts_near_its_name():
    torch.manual_seed(3)
    encoder = GraphEncoder(64, 4, GraphEncoderSettings()).eval()
    features = torch.randn(5, 64)
    none = torch.zeros(2, 0, dtype=torch.long)
    for edges, relations in ((EDGES, RELATIONS), (none, none[0])):
        out = encoder(features, edges, relations, 2)
        assert torch.nn.functional.cosine_similarity(out, features[:2]).min() > 0.8


def test_all_parameters_learn():
    encoder = build(layers=3, residual=False)
    encoder(FEATURES, EDGES, RELATIONS, 2).pow(3).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="3 heads do not divide the width 8"):
        build(heads=3)


def test_saved_and_loaded(tmp_path):
    encoder = build(layers=1, residual=False)
    save_graph_encoder(encoder, ["a", "b", "c", "d"], tmp_path)
    again = load_graph_encoder(tmp_path)
    assert torch.equal(encoder(FEATURES, EDGES, RELATIONS, 2), again(FEATURES, EDGES, RELATIONS, 2))
