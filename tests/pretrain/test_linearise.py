import numpy as np
import pytest

from balign.graph.sample import counter_keys, draw_names, sample_subgraphs
from balign.pretrain.encoder import load_tokenizer
from balign.pretrain.linearise import label_pieces, linear_batch

CENTRES = np.array([0, 7, 1, 3, 4, 7], dtype=np.int64)  # 7 is the hub, 4 has no neighbour


@pytest.fixture
def tokenizer(world):
    return load_tokenizer(world.encoder)


@pytest.fixture
def labels(tokenizer):
    return label_pieces(tokenizer, ["of the", "treat"])


@pytest.fixture
def linear(arrays, graph, labels):
    def make(centres=CENTRES, neighbours=3, max_tokens=64):
        keys = counter_keys(5, np.arange(len(centres)))
        return linear_batch(arrays, graph, labels, centres, keys, neighbours, max_tokens)

    return make


def texts(batch):
    every = batch.packed.ids.tensor_split(batch.packed.offsets[1:-1].long())
    return [every[row].tolist() for row in batch.rows]


def naive(arrays, graph, labels, centre, key, neighbours, max_tokens):
    """One centre, edge by edge."""
    drawn = sample_subgraphs(graph, np.array([centre]), key, neighbours, 1)
    chosen = draw_names(graph, drawn.nodes, drawn.keys)
    names = [
        arrays.name_tokens[arrays.name_indptr[i] : arrays.name_indptr[i + 1]].tolist()
        for i in chosen
    ]
    text = list(names[0])
    for place, relation in enumerate(drawn.relations, start=1):
        r = int(relation) % 2
        label = labels.pieces[labels.indptr[r] : labels.indptr[r + 1]].tolist()
        a, b = (names[0], names[place]) if relation < 2 else (names[place], names[0])
        sentence = a[1:-1] + label + b[1:]
        if len(text) + len(sentence) > max_tokens:
            break
        text += sentence
    return text


@pytest.mark.parametrize("max_tokens", [8, 14, 20, 64])
@pytest.mark.parametrize("neighbours", [0, 2, 3])
def test_texts_are_those_of_a_loop(arrays, graph, labels, linear, neighbours, max_tokens):
    keys = counter_keys(5, np.arange(len(CENTRES)))
    batch = linear(neighbours=neighbours, max_tokens=max_tokens)
    expected = [
        naive(arrays, graph, labels, node, keys[[place]], neighbours, max_tokens)
        for place, node in enumerate(CENTRES)
    ]
    assert texts(batch) == expected
    assert batch.pieces == sum(map(len, expected))
    assert batch.centres.tolist() == CENTRES.tolist()


def test_it_reads_as_the_graph_says(linear, tokenizer):
    read = [tokenizer.decode(text).replace(" ##", "") for text in texts(linear())]
    assert read[2] in {  # diabetes: is_a disease; insulin treats it
        f"[CLS] {v} [SEP] {first} [SEP] {second} [SEP]"
        for v in ("diabetes", "diabetes disease")
        for one, other in [(f"{v} of the disease", f"insulin treat {v}")]
        for first, second in [(one, other), (other, one)]
    }
    assert read[4] == "[CLS] sjögren's syndrome [SEP]".replace("'s", " ' s")


def test_no_centres(linear):
    assert linear(np.zeros(0, dtype=np.int64)).pieces == 0


def test_labels_of_byte_level_pieces_keep_the_spaces():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(["is a disease"], trainers.BpeTrainer(initial_alphabet=alphabet))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)
    labels = label_pieces(tokenizer, ["is a", "treats"])
    names = [tokenizer.encode(name) for name in ("asthma", "disease")]
    first = labels.pieces[: labels.indptr[1]].tolist()
    assert tokenizer.decode(names[0] + first + names[1]) == "asthma is a disease"
