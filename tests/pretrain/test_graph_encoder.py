import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch.nn.functional import cosine_similarity
from torch_geometric.nn import RGCNConv, SAGEConv

from balign.errors import ConfigError
from balign.graph.sample import counter_keys
from balign.pretrain.encoder import load_text_encoder, load_tokenizer
from balign.pretrain.graph_encoder import (
    GRAPH_ENCODERS,
    Relations,
    build_graph_encoder,
    load_graph_encoder,
    save_graph_encoder,
)
from balign.pretrain.graph_layers import GRAPH_LAYERS, RgcnLayer, SageLayer
from balign.pretrain.packing import pack
from balign.pretrain.settings import GraphEncoderSettings, RgcnSettings, SageSettings

NETWORKS = sorted(GRAPH_LAYERS)
FOUR = Relations(list("abcd"), list("abcd"))
FEATURES = torch.randn(5, 8, generator=torch.Generator().manual_seed(1))
EDGES = torch.tensor([[2, 3, 4], [0, 0, 1]])  # centres 0 and 1
RELATIONS = torch.tensor([0, 5, 2])


def settings_of(kind, **values):
    return TypeAdapter(GraphEncoderSettings).validate_python({"type": kind, **values})


def build(kind, width=8, graph=FOUR, tokenizer=None, **values):
    torch.manual_seed(3)
    return build_graph_encoder(settings_of(kind, **values), width, graph, tokenizer).eval()


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_centre_depends_on_its_own_neighbours_alone(kind):
    encoder = build(kind)
    out = encoder.aggregate(FEATURES, EDGES, RELATIONS, 2)
    other = FEATURES.clone()
    other[4] += torch.arange(8)
    changed = encoder.aggregate(other, EDGES, RELATIONS, 2)
    assert out.shape == (2, 8)
    assert torch.allclose(out[0], changed[0]) and not torch.allclose(out[1], changed[1])


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_second_hop_reaches_the_centre_through_two_layers(kind):
    edges = torch.tensor([[2, 3, 4], [0, 2, 1]])  # 3 is a neighbour of 2, which is one of 0
    for layers, reaches in ((1, False), (2, True)):
        encoder = build(kind, layers=layers)
        other = FEATURES.clone()
        other[3] += torch.arange(8)
        before = encoder.aggregate(FEATURES, edges, RELATIONS, 2)
        after = encoder.aggregate(other, edges, RELATIONS, 2)
        assert torch.allclose(before[0], after[0]) != reaches
        assert torch.allclose(before[1], after[1])


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_relation_counts_only_when_asked_for(kind):
    turned = torch.tensor([4, 5, 2])

    def same(encoder):
        one, other = (encoder.aggregate(FEATURES, EDGES, r, 2) for r in (RELATIONS, turned))
        return torch.allclose(one[0], other[0])

    assert not same(build(kind))
    if kind != "rgcn":  # which is nothing without
        assert same(build(kind, relations=False))


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_order_of_neighbours_does_not_count(kind):
    encoder, order = build(kind), torch.tensor([1, 0, 2])
    assert torch.allclose(
        encoder.aggregate(FEATURES, EDGES, RELATIONS, 2),
        encoder.aggregate(FEATURES, EDGES[:, order], RELATIONS[order], 2),
        atol=1e-6,
    )


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_node_starts_near_its_name(kind):
    encoder = build(kind, width=64)
    features = torch.randn(5, 64)
    none = torch.zeros(2, 0, dtype=torch.long)
    for edges, relations in ((EDGES, RELATIONS), (none, none[0])):
        out = encoder.aggregate(features, edges, relations, 2)
        assert cosine_similarity(out, features[:2]).min() > 0.75


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("kind", NETWORKS)
def test_all_parameters_learn(kind, residual):
    encoder = build(kind, layers=3, residual=residual)
    encoder.aggregate(FEATURES, EDGES, RELATIONS, 2).pow(3).sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("kind", NETWORKS)
def test_dropout_is_of_training_alone(kind):
    encoder = build(kind, dropout=0.5)
    one, two = (encoder.aggregate(FEATURES, EDGES, RELATIONS, 2) for _ in range(2))
    assert torch.equal(one, two)
    encoder.train()
    one, two = (encoder.aggregate(FEATURES, EDGES, RELATIONS, 2) for _ in range(2))
    assert not torch.equal(one, two)


@pytest.mark.parametrize("kind", NETWORKS)
def test_no_network_waits_for_the_device(kind):
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():  # tensors without values: nothing may ask for one
        out = build(kind).aggregate(
            torch.randn(5, 8),
            torch.zeros(2, 3, dtype=torch.long),
            torch.zeros(3, dtype=torch.long),
            2,
        )
        out.sum().backward()


def test_rgcn_is_that_of_pytorch_geometric():
    layer = RgcnLayer(8, 6, RgcnSettings(type="rgcn", bases=3), 1.0)
    peer = RGCNConv(8, 8, 6, num_bases=3, aggr="sum")
    with torch.no_grad():
        peer.weight.copy_(layer.bases)
        peer.comp.copy_(layer.coefficients)
        peer.root.copy_(layer.itself.weight.T)
        peer.bias.copy_(layer.itself.bias)
        layer.itself.bias.normal_()
        peer.bias.copy_(layer.itself.bias)
    edges = torch.tensor([[1, 2, 3, 4, 0, 4, 4], [0, 0, 0, 1, 2, 0, 0]])
    relations = torch.tensor([0, 5, 5, 2, 3, 1, 2])
    own = layer.itself(FEATURES)
    degree = torch.bincount(edges[1], minlength=5).clamp(min=1)[:, None]
    expected = (peer(FEATURES, edges, relations) - own) / degree + own  # ours takes the mean
    assert torch.allclose(layer(FEATURES, edges, relations), expected, atol=1e-5)


def test_graphsage_is_that_of_pytorch_geometric():
    layer = SageLayer(8, 8, SageSettings(type="sage", relations=False), 1.0)
    peer = SAGEConv(8, 8)
    peer.lin_l.load_state_dict(layer.neighbours.state_dict())
    peer.lin_r.load_state_dict(layer.itself.state_dict())
    edges = torch.tensor([[1, 2, 3, 4, 0], [0, 0, 0, 1, 2]])
    out = layer(FEATURES, edges, torch.zeros(5, dtype=torch.long))
    assert torch.allclose(out, peer(FEATURES, edges), atol=1e-6)


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="3 heads do not divide the width 8"):
        build("gatv2", heads=3)


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ValidationError, match="1 layers do not reach over 2 hops"):
        settings_of("sage", hops=2, layers=1)
    with pytest.raises(ValidationError, match="hops"):
        settings_of("linear", hops=2)
    with pytest.raises(ValidationError, match="gatv2"):
        settings_of("gat")


@pytest.fixture
def text(world):
    return load_text_encoder(world.encoder)[0].eval()


@pytest.fixture
def encoder_of(world, graph):
    relations = Relations(graph.relations, graph.relation_labels)
    tokenizer = load_tokenizer(world.encoder)

    def make(kind, **values):
        return build(kind, 32, relations, tokenizer, **values)

    return make


NODES = np.array([0, 7, 1, 1, 4])
KEYS = counter_keys(3, np.arange(5))


def encode(encoder, text, arrays, graph):
    return encoder(text, encoder.prepare(arrays, graph, NODES, KEYS))


@pytest.mark.parametrize("kind", sorted(GRAPH_ENCODERS))
def test_saved_beside_the_model_and_loaded(kind, tmp_path, world, text, arrays, graph, encoder_of):
    encoder = encoder_of(kind)
    load_tokenizer(world.encoder).save_pretrained(tmp_path)
    save_graph_encoder(encoder, tmp_path)
    again = load_graph_encoder(tmp_path)
    assert again.settings == encoder.settings and again.relations == encoder.relations
    one, other = (encode(x, text, arrays, graph) for x in (encoder, again))
    assert one.shape == (5, 32) and torch.equal(one, other)


@pytest.mark.parametrize("kind", sorted(GRAPH_ENCODERS))
def test_a_vector_does_not_depend_on_the_other_centres(kind, text, arrays, graph, encoder_of):
    encoder = encoder_of(kind)
    whole = encode(encoder, text, arrays, graph)
    for place in range(len(NODES)):
        batch = encoder.prepare(arrays, graph, NODES[[place]], KEYS[[place]])
        assert torch.allclose(encoder(text, batch)[0], whole[place], atol=1e-5)
    nothing = encoder.prepare(arrays, graph, NODES[:0], KEYS[:0])
    assert encoder(text, nothing).shape == (0, 32)


@pytest.mark.parametrize("kind", sorted(GRAPH_ENCODERS))
def test_half_precision(kind, text, arrays, graph, encoder_of):
    encoder = encoder_of(kind, **({} if kind == "linear" else {"residual": False}))
    full = encode(encoder, text, arrays, graph)
    with torch.autocast("cpu", torch.bfloat16):
        half = encode(encoder, text, arrays, graph)
    assert cosine_similarity(full, half.float()).min() > 0.99
    half.float().pow(3).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in encoder.parameters())


def test_the_vector_of_the_linear_variant_is_the_cls_state(text, arrays, graph, encoder_of, world):
    encoder = encoder_of("linear")
    batch = encoder.prepare(arrays, graph, NODES, KEYS)
    found = encoder(text, batch)
    tokenizer = load_tokenizer(world.encoder)
    for place, row in enumerate(batch.rows):
        begin, end = batch.packed.offsets[row : row + 2].tolist()
        ids = batch.packed.ids[begin:end].numpy().astype(np.int32)
        assert ids[0] == tokenizer.cls_token_id and ids[-1] == tokenizer.sep_token_id
        alone = text.encode(pack(ids, np.array([0, len(ids)]), np.array([0])))[0]
        assert torch.allclose(found[place], alone, atol=1e-5)


def test_texts_longer_than_the_encoder_takes_are_refused(world, graph):
    tokenizer = load_tokenizer(world.encoder)
    tokenizer.model_max_length = 64
    relations = Relations(graph.relations, graph.relation_labels)
    build("linear", 32, relations, tokenizer, max_tokens=64)
    with pytest.raises(
        ConfigError, match="max_tokens is 65, but the text encoder takes at most 64"
    ):
        build("linear", 32, relations, tokenizer, max_tokens=65)


@pytest.mark.parametrize("stopped", ["none", "neighbours", "centres", "all"])
def test_names_without_gradient(stopped, world, text, arrays, graph, encoder_of):
    free, encoder = (
        encoder_of("gatv2", stop_gradient_names=name, residual=False) for name in ("none", stopped)
    )
    encoder.load_state_dict(free.state_dict())
    out = encode(encoder, text, arrays, graph)
    assert torch.allclose(out, encode(free, text, arrays, graph), atol=1e-5)
    words = text.model.get_input_embeddings().weight
    # "insulin" is drawn as a neighbour of diabetes alone, "sjögren" names a lone centre.
    ids = load_tokenizer(world.encoder).convert_tokens_to_ids(["insulin", "sjögren"])
    out.pow(3).sum().backward()
    if stopped == "all":
        assert words.grad is None
        return
    neighbour, centre = (bool(words.grad[i].abs().sum() > 0) for i in ids)
    assert neighbour == (stopped in ("none", "centres"))
    assert centre == (stopped in ("none", "neighbours"))
