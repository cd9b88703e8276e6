import json

import numpy as np
import polars as pl
import pytest

from balign.errors import DataError
from balign.pretrain.data import Arrays, open_tokens, ranges
from balign.pretrain.encoder import load_tokenizer
from balign.pretrain.tokenize import locate, tokenise_texts


def spans_of(arrays, row):
    """The (node, pieces) of each mention of a sentence."""
    pieces = arrays.tokens[arrays.token_indptr[row] : arrays.token_indptr[row + 1]]
    for m in range(arrays.mention_indptr[row], arrays.mention_indptr[row + 1]):
        part = pieces[arrays.mention_start[m] : arrays.mention_end[m]]
        yield int(arrays.mention_node[m]), part.tolist()


def test_each_mention_covers_exactly_its_surface(world, tmp_path, tokenize_world):
    tokenize_world(tmp_path / "all", sentences_per_concept=None, validation_sentences=0)
    arrays, counts = open_tokens(tmp_path / "all")
    tokenizer = load_tokenizer(world.encoder)
    texts = dict(pl.concat(map(pl.read_parquet, world.abstracts)).iter_rows())
    concepts = (world.graph / "concepts.txt").read_text().split()
    expected = {}
    for pmid, sentence, start, end, concept in pl.concat(
        map(pl.read_parquet, world.mentions)
    ).iter_rows():
        surface = texts[pmid][start:end]
        ids = tokenizer.backend_tokenizer.encode(surface, add_special_tokens=False)
        pieces = [i for i, real in zip(ids.ids, ids.attention_mask, strict=True) if real]
        expected.setdefault((pmid, sentence), []).append((concepts.index(concept), pieces))
    found = {
        (int(arrays.pmid[row]), int(arrays.number[row])): list(spans_of(arrays, row))
        for row in range(len(arrays.pmid))
    }
    assert found == expected
    assert counts["mentions"] == counts["mentions_read"] == sum(map(len, expected.values()))
    assert counts["sentences"] == 72  # the titles hold no mention
    assert counts["mentions_lost_by_truncation"] == counts["sentences_truncated"] == 0


def test_sentences_and_names_are_not_padded_and_have_special_pieces(world):
    arrays, counts = open_tokens(world.tokens)
    tokenizer = load_tokenizer(world.encoder)
    for indptr, pieces in (
        (arrays.token_indptr, arrays.tokens),
        (arrays.name_indptr, arrays.name_tokens),
    ):
        assert (pieces[indptr[:-1]] == tokenizer.cls_token_id).all()
        assert (pieces[indptr[1:] - 1] == tokenizer.sep_token_id).all()
        assert not (pieces == tokenizer.pad_token_id).any()
    names = pl.read_parquet(world.graph / "names.parquet")["name"].to_list()
    assert counts["names"] == len(names)
    name = names.index("failure of the heart")
    part = arrays.name_tokens[arrays.name_indptr[name] : arrays.name_indptr[name + 1]]
    assert tokenizer.decode(part) == "[CLS] fail ##ure of the heart [SEP]"


def test_figures(world):
    arrays, counts = open_tokens(world.tokens)
    pairs = {(row, node) for row in range(len(arrays.pmid)) for node, _ in spans_of(arrays, row)}
    assert counts["concepts_per_sentence"] == pytest.approx(len(pairs) / counts["sentences"])
    lengths = np.diff(arrays.token_indptr) - 2
    assert counts["pieces_per_sentence"] == pytest.approx(lengths.mean())
    assert counts["digest"] == arrays.digest()


def test_a_cut_sentence_loses_the_mentions_behind_the_cut(tmp_path, tokenize_world):
    tokenize_world(tmp_path / "cut", max_tokens=12, sentences_per_concept=None)
    arrays, counts = open_tokens(tmp_path / "cut")
    assert np.diff(arrays.token_indptr).max() == 12
    assert counts["mentions_lost_by_truncation"] > 0
    assert counts["sentences_truncated"] > 0
    assert counts["mentions"] + counts["mentions_lost_by_truncation"] == counts["mentions_read"]
    assert (np.diff(arrays.mention_indptr) > 0).all()
    lengths = np.repeat(np.diff(arrays.token_indptr), np.diff(arrays.mention_indptr))
    assert (arrays.mention_end <= lengths - 1).all()  # the last piece is [SEP]


def test_a_mention_cut_in_the_middle_is_lost(world):
    tokenizer = load_tokenizer(world.encoder)
    text = "acute heart failure"  # [CLS] acute heart fail ##ure [SEP]
    for longest, whole in ((6, True), (5, False), (4, False)):
        pieces = tokenise_texts(tokenizer, [text], longest, "texts")
        first, last = locate(pieces, np.array([0]), np.array([6]), np.array([19]))
        assert (first[0], last[0]) == ((2, 5) if whole else (0, 0))


def test_a_span_inside_a_piece_takes_the_piece(world):
    pieces = tokenise_texts(load_tokenizer(world.encoder), ["no heart", "drugs"], 9, "texts")
    first, last = locate(pieces, np.array([0, 1, 0]), np.array([4, 0, 2]), np.array([6, 4, 3]))
    assert list(zip(first, last, strict=True)) == [(2, 3), (1, 2), (0, 0)]  # the last is a space


def test_same_input_same_bytes_whatever_the_order_of_files(world, tmp_path, tokenize_world):
    turned = {key: getattr(world, key)[::-1] for key in ("abstracts", "sentences", "mentions")}
    tokenize_world(tmp_path / "again", files=turned)
    for path in sorted(world.tokens.iterdir()):
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name
    assert len(list(world.tokens.iterdir())) == len(Arrays.names()) + 1


def test_balanced_and_split(tmp_path, tokenize_world):
    tokenize_world(tmp_path / "few", sentences_per_concept=3, validation_sentences=2)
    arrays, counts = open_tokens(tmp_path / "few")
    sentence = np.repeat(np.arange(len(arrays.pmid)), np.diff(arrays.mention_indptr))
    for node in np.unique(arrays.mention_node):
        assert len(np.unique(sentence[arrays.mention_node == node])) <= 3
    assert counts["mentions"] + counts["mentions_dropped_by_balancing"] == counts["mentions_read"]
    held = set(arrays.pmid[arrays.validation].tolist())
    assert len(held) >= 1 and not held & set(arrays.pmid[arrays.train].tolist())


def test_files_that_do_not_match_are_named(world, tmp_path, tokenize_world):
    with pytest.raises(DataError, match="'file1' is not in all"):
        tokenize_world(tmp_path / "out", files={"mentions": world.mentions[:1]})
    assert not (tmp_path / "out").exists()


def test_mentions_of_another_corpus_are_refused(world, tmp_path, tokenize_world):
    other = tmp_path / "file0.parquet"
    mentions = pl.read_parquet(world.mentions[0]).with_columns(pmid=pl.col("pmid") + 50_000)
    mentions.write_parquet(other)
    with pytest.raises(DataError, match="not in the corpus") as error:
        tokenize_world(tmp_path / "out", files={"mentions": [other, world.mentions[1]]})
    assert str(world.sentences[0]) in str(error.value)


def test_a_mention_outside_its_sentence_is_refused(world, tmp_path, tokenize_world):
    other = tmp_path / "file0.parquet"
    pl.read_parquet(world.mentions[0]).with_columns(start=pl.lit(0, pl.Int32)).write_parquet(other)
    with pytest.raises(DataError, match="not inside their sentence"):
        tokenize_world(tmp_path / "out", files={"mentions": [other, world.mentions[1]]})


def test_no_mention_at_all_is_an_error(world, tmp_path, tokenize_world):
    empty = []
    for path in world.mentions:
        pl.read_parquet(path).clear().write_parquet(tmp_path / path.name)
        empty.append(tmp_path / path.name)
    with pytest.raises(DataError, match="no sentence holds a mention"):
        tokenize_world(tmp_path / "out", files={"mentions": empty})


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(DataError, match="tokenised text") as error:
        open_tokens(tmp_path)
    assert "balign pretrain tokenize" in str(error.value)


def test_ranges():
    values, owner = ranges(np.array([5, 2, 9]), np.array([7, 2, 12]))
    assert values.tolist() == [5, 6, 9, 10, 11] and owner.tolist() == [0, 0, 2, 2, 2]


def test_counts_are_json_numbers(world):
    counts = json.loads((world.tokens / "counts.json").read_text())
    assert set(counts.pop("graph")) == {"concepts.txt", "names.parquet"}
    assert all(isinstance(v, int | float | str) for v in counts.values())
