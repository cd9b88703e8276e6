"""A small world: an encoder with a handwritten vocabulary, a graph, and linked sentences."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from balign.graph.csr import Graph
from balign.pretrain.data import Arrays, open_tokens
from balign.pretrain.settings import ModelSettings, PretrainDataSettings
from balign.pretrain.tokenize import pretrain_tokenize

WORDS = """
    a the of in and with patients were was treated for rats had no severe acute chronic study
    heart kidney liver disease fail ##ure asthma diabetes sjögren ' s syndrome insulin aspirin
    drug drugs - . , : ( ) 1 2 3 mg β ##blocker ##s blockers cell cells fever pain ##ful treat
""".split()  # noqa: SIM905
NAMES = {
    "C01": ["asthma", "acute asthma"],
    "C02": ["diabetes", "diabetes disease"],
    "C03": ["heart failure", "failure of the heart"],
    "C04": ["kidney disease"],
    "C05": ["Sjögren's syndrome"],
    "C06": ["aspirin", "drug"],
    "C07": ["insulin"],
    "C08": ["disease"],
    "C09": ["fever"],
}
DEFINITIONS = {
    "C01": "a chronic disease with fever",
    "C03": "failure of the heart in severe disease",
    "C04": "disease of the kidney",
    "C06": "a drug for fever and pain",
    "C07": "a drug for diabetes",
}
EDGES = [  # head, relation, tail
    ("C01", "is_a", "C08"),
    ("C02", "is_a", "C08"),
    ("C03", "is_a", "C08"),
    ("C04", "is_a", "C08"),
    ("C06", "treats", "C09"),
    ("C07", "treats", "C02"),
]


@dataclass(frozen=True)
class World:
    encoder: Path
    encoder_with_head: Path
    abstracts: list[Path]
    sentences: list[Path]
    mentions: list[Path]
    graph: Path
    tokens: Path


def write_encoder(folder: Path, head: bool) -> None:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertForMaskedLM, BertModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys(WORDS)]
    vocabulary = {word: place for place, word in enumerate(words)}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    backend.enable_padding(length=64)  # as sentence encoders have it; must not reach the arrays
    names = ("unk", "cls", "sep", "pad", "mask")
    PreTrainedTokenizerFast(
        tokenizer_object=backend, **{f"{name}_token": f"[{name.upper()}]" for name in names}
    ).save_pretrained(folder)
    torch.manual_seed(5)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=64,
    )
    model = (BertForMaskedLM if head else BertModel)(config)
    if head:
        torch.nn.init.normal_(model.cls.predictions.bias)
    model.save_pretrained(folder)


def write_graph(folder: Path, mentioned: dict[str, int]) -> None:
    folder.mkdir()
    concepts = sorted(NAMES)
    relations = sorted({relation for _, relation, _ in EDGES})
    rows = []
    for head, relation, tail in EDGES:
        h, t, r = concepts.index(head), concepts.index(tail), relations.index(relation)
        rows += [(h, t, r), (t, h, r + len(relations))]
    rows.sort()
    ends = np.array(rows)
    (folder / "concepts.txt").write_text("".join(f"{c}\n" for c in concepts))
    (folder / "relations.txt").write_text("".join(f"{r}\n" for r in relations))
    (folder / "relation_labels.txt").write_text("".join(f"{r}\n" for r in relations))

    def indptr(owner):
        return np.searchsorted(owner, np.arange(len(concepts) + 1)).astype(np.int64)

    np.save(folder / "indptr.npy", indptr(ends[:, 0]))
    np.save(folder / "indices.npy", ends[:, 1].astype(np.int32))
    np.save(folder / "relations.npy", ends[:, 2].astype(np.int32))
    np.save(folder / "held_out.npy", np.zeros((0, 3), dtype=np.int32))
    source = {"source": "small", "version": "1", "licence": "CC0-1.0", "restriction": 0}
    (folder / "counts.json").write_text(json.dumps({"sources": [source]}))
    names = [(node, name) for node, c in enumerate(concepts) for name in NAMES[c]]
    pl.DataFrame(names, schema={"node": pl.Int32, "name": pl.String}, orient="row").write_parquet(
        folder / "names.parquet"
    )
    definitions = [(concepts.index(c), text) for c, text in sorted(DEFINITIONS.items())]
    pl.DataFrame(
        definitions, schema={"node": pl.Int32, "definition": pl.String}, orient="row"
    ).write_parquet(folder / "definitions.parquet")
    np.save(folder / "name_indptr.npy", indptr(np.array([node for node, _ in names])))
    counts = np.array([mentioned.get(c, 0) for c in concepts], dtype=np.int64)
    np.save(folder / "mention_count.npy", counts)


SURFACES = {
    "asthma": "C01",
    "diabetes": "C02",
    "heart failure": "C03",
    "Sjögren's syndrome": "C05",
    "aspirin": "C06",
    "insulin": "C07",
    "fever": "C09",
}
FRAMES = (
    "The β-blockers: {a} patients had severe {b}.",
    "No {a} was treated with {b} in rats.",
    "Patients with {a}, {b} and {a} were treated for 2 mg.",
)


def write_corpus(folder: Path) -> tuple[list[Path], list[Path], list[Path]]:
    """Two files of 12 citations; a citation has a title without mention and three sentences."""
    surfaces = list(SURFACES)
    paths = ([], [], [])
    for file in range(2):
        texts, spans, mentions = [], [], []
        for place in range(12):
            pmid = 1000 + file * 100 + place
            text = "𝒜 study"  # a letter outside the basic plane: two UTF-16 units, one code point
            spans.append((pmid, 0, 0, len(text), "title"))
            for number, frame in enumerate(FRAMES, start=1):
                a = surfaces[(file + place + number) % len(surfaces)]
                b = surfaces[(2 * place + number * 3 + 1) % len(surfaces)]
                sentence = frame.format(a=a, b=b)
                start = len(text) + 1
                text += "\n" + sentence
                spans.append((pmid, number, start, len(text), "abstract"))
                seen = 0
                while seen < len(sentence):
                    hits = [s for s in surfaces if sentence.startswith(s, seen)]
                    if hits:
                        one = start + seen
                        mentions.append((pmid, number, one, one + len(hits[0]), SURFACES[hits[0]]))
                        seen += len(hits[0])
                    else:
                        seen += 1
            texts.append((pmid, text))
        tables = (
            (texts, {"pmid": pl.Int64, "text": pl.String}),
            (spans, {"pmid": pl.Int64, "sentence": pl.Int32, "start": pl.Int32, "end": pl.Int32,
                     "section": pl.String}),
            (mentions, {"pmid": pl.Int64, "sentence": pl.Int32, "start": pl.Int32, "end": pl.Int32,
                        "concept": pl.String}),
        )  # fmt: skip
        for kind, (rows, schema), found in zip(
            ("abstracts", "sentences", "mentions"), tables, paths, strict=True
        ):
            path = folder / kind / f"file{file}.parquet"
            path.parent.mkdir(exist_ok=True)
            pl.DataFrame(rows, schema=schema, orient="row").write_parquet(path)
            found.append(path)
    return paths


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> World:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("world")
    write_encoder(root / "encoder", head=False)
    write_encoder(root / "encoder_with_head", head=True)
    abstracts, sentences, mentions = write_corpus(root)
    write_graph(root / "graph", {})
    made = World(
        root / "encoder",
        root / "encoder_with_head",
        abstracts,
        sentences,
        mentions,
        root / "graph",
        root / "tokens",
    )
    tokenize(made, made.tokens)
    return made


def tokenize(world: World, output: Path, **settings) -> None:
    pretrain_tokenize(
        world.encoder,
        world.abstracts,
        world.sentences,
        world.mentions,
        world.graph,
        PretrainDataSettings(**settings),
        output,
    )


@pytest.fixture
def tokenize_world(world):
    """Tokenise the world again with other settings or other files."""

    def again(output: Path, files: dict | None = None, **settings) -> None:
        tokenize(replace(world, **(files or {})), output, **settings)

    return again


@pytest.fixture(scope="session")
def arrays(world) -> Arrays:
    return open_tokens(world.tokens)[0]


@pytest.fixture(scope="session")
def graph(world) -> Graph:
    return Graph.open(world.graph)


@pytest.fixture
def model_settings():
    def make(**values) -> ModelSettings:
        base = {
            "name": "small",
            "objectives": [{"type": "mlm"}, {"type": "alignment"}],
            "steps": 6,
            "batch_sentences": 8,
            "learning_rate": 1e-3,
            "learning_rate_new": 1e-3,
        }
        return ModelSettings.model_validate({**base, **values})

    return make
