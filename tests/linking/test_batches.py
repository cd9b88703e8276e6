"""What is linked does not depend on what else is linked at the same time."""

import polars as pl
import pytest

import balign.linking.dictionary_linker as module
from balign.linking.backends import open_linker
from balign.linking.settings import LinkingSettings

TEXTS = [
    "Heart failure (HF) in 😀 men. HF and tumours.",
    "",
    "HF here is undefined; سرطان fever\x00fever e\u0301 fever",
    "two tumor (TU) heart-failures\u200f TU",
    "x" * 1_000_001 + " fever " + "fever " * 30_000,
    "human factor (HF). HF",
]
SCHEMA = {"pmid": pl.Int64, "sentence": pl.Int32, "start": pl.Int32, "end": pl.Int32}


def test_alone_together_and_in_small_pieces(make_index, monkeypatch):
    index = make_index(
        [
            ("C1", "heart failure", True, 0, False),
            ("C2", "HF gene", True, 0, False),
            ("C3", "tumor", True, 0, False),
            ("C3", "Tumours", False, 1, False),
            ("C4", "fever", True, 0, False),
        ]
    )
    documents = pl.DataFrame({"pmid": range(len(TEXTS)), "text": TEXTS})
    rows = [(i, 0, 0, len(text)) for i, text in enumerate(TEXTS) if text]
    sentences = pl.DataFrame(rows, schema=SCHEMA, orient="row")

    def link(some=None):
        linker = open_linker("dictionary", index, LinkingSettings())
        if some is None:
            return linker.link(documents, sentences)
        return linker.link(documents.filter(pmid=some), sentences.filter(pmid=some))

    whole = link()
    assert whole.filter(pmid=0)["surface"].to_list() == ["Heart failure", "HF", "HF", "tumours"]
    assert whole.filter(pmid=4).height == 30_001
    assert whole.filter(pmid=5).is_empty()
    assert whole.equals(pl.concat([link(i) for i in range(len(TEXTS))]))
    monkeypatch.setattr(module, "_POINTS", 1)
    assert whole.equals(link())


@pytest.mark.parametrize("texts", [[], [""], ["\x00"], ["\u0301\u0301"], ["\u202e😀"]])
def test_texts_with_nothing_in_them(make_index, texts):
    linker = open_linker(
        "dictionary", make_index([("C1", "fever", True, 0, False)]), LinkingSettings()
    )
    documents = pl.DataFrame(
        {"pmid": range(len(texts)), "text": texts},
        schema_overrides={"text": pl.String, "pmid": pl.Int64},
    )
    rows = [(i, 0, 0, len(text)) for i, text in enumerate(texts)]
    assert linker.link(documents, pl.DataFrame(rows, schema=SCHEMA, orient="row")).is_empty()
