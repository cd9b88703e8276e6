"""The rule ``pretrain_tokenize``: linked sentences and concept names to arrays of word pieces."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from balign.errors import DataError
from balign.files import atomic_path, write_json
from balign.graph.sample import counter_keys
from balign.pretrain.data import Arrays, Int32Array, IntArray, node_digests, ranges, save_arrays
from balign.pretrain.encoder import load_tokenizer, resolve_encoder
from balign.pretrain.select import balance, split
from balign.pretrain.settings import PretrainDataSettings
from balign.progress import track

log = logging.getLogger(__name__)

_CHUNK = 8192  # texts tokenised at once
_FAR = np.int64(1) << 32  # more than any text's length


def pretrain_tokenize(
    encoder: Path,
    abstracts: Sequence[Path],
    sentences: Sequence[Path],
    mentions: Sequence[Path],
    graph: Path,
    settings: PretrainDataSettings,
    output: Path,
) -> None:
    """Tokenise the training text once, for all runs that start from one encoder.

    Args:
        encoder: a source's ``MANIFEST.json`` or a Hugging Face folder.
        abstracts: Parquet files of the corpus, one a PubMed file.
        sentences: the same files' sentences.
        mentions: the same files' mentions.
        graph: folder of the graph.
        settings: lengths, balancing, validation.
        output: folder to write (arrays of :class:`balign.pretrain.data.Arrays`, counts.json).

    Raises:
        DataError: if the lists of files do not match, or no sentence holds a mention.
    """
    source = resolve_encoder(encoder)
    tokenizer = load_tokenizer(source.path)
    by_stem = _match(abstracts, sentences, mentions)
    concepts = (graph / "concepts.txt").read_text(encoding="utf-8").split("\n")[:-1]
    names = pl.read_parquet(graph / "names.parquet", columns=["name"])["name"].to_list()
    linked, read = _linked([files[2] for files in by_stem.values()], concepts, settings)
    rows = _sentences(by_stem.values(), linked)
    pieces = tokenise_texts(
        tokenizer, rows["text"].to_list(), settings.max_tokens, "sentences tokenised"
    )
    name_pieces = tokenise_texts(tokenizer, names, settings.max_name_tokens, "names tokenised")
    arrays, located = _assemble(linked, rows, pieces, name_pieces, settings)
    counts: dict[str, Any] = (
        read | located | _figures(arrays, tokenizer.num_special_tokens_to_add())
    )
    counts["digest"] = arrays.digest()
    counts["graph"] = node_digests(graph)
    counts["tokenizer"] = source.digests().get("tokenizer.json")
    if counts["sentences"] == 0:
        raise DataError(
            "no sentence holds a mention of a concept of the graph",
            where=", ".join(str(path) for path in mentions),
            hint="look at the counts of the linking stage",
        )
    with atomic_path(output) as temporary:
        temporary.mkdir()
        save_arrays(arrays, temporary)
        write_json(temporary / "counts.json", counts)
    log.info(
        "%s sentences (%.2f concepts, %.1f word pieces each), %s mentions (%.2f word pieces each)",
        f"{counts['sentences']:,}",
        counts["concepts_per_sentence"],
        counts["pieces_per_sentence"],
        f"{counts['mentions']:,}",
        counts["pieces_per_mention"],
    )


@dataclass(frozen=True)
class Pieces:
    """Tokenised texts.

    Attributes:
        ids: int32, all texts' pieces, special tokens included.
        indptr: int64 [texts + 1].
        start: int32, first code point of each piece; 0 for a special token.
        end: int32, one past the last code point; 0 for a special token.
        cut: int64 [texts], the first code point of the first piece that was cut off; more than any
            text's length where none was.
    """

    ids: Int32Array
    indptr: IntArray
    start: Int32Array
    end: Int32Array
    cut: IntArray

    @property
    def truncated(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Whether each text was cut, [texts]."""
        found: np.ndarray[Any, np.dtype[np.bool_]] = self.cut < _FAR
        return found


def tokenise_texts(tokenizer: Any, texts: Sequence[str], longest: int, what: str) -> Pieces:
    """Tokenise texts with special tokens, cut to ``longest`` pieces, with exact offsets.

    Offsets are code points of the text as it was given, whatever the tokenizer makes of it: a piece
    of byte-level BPE or of SentencePiece may begin with the space before it, several bytes of one
    character are pieces with the same offsets, and a normaliser may merge or drop characters.
    """
    backend = tokenizer.backend_tokenizer
    backend.enable_truncation(longest)
    backend.no_padding()
    ids: list[Int32Array] = []
    offsets: list[Int32Array] = []
    lengths: list[int] = []
    cut: list[int] = []
    for begin in track(range(0, len(texts), _CHUNK), f"{what}, by {_CHUNK:,}"):
        encoded = backend.encode_batch(texts[begin : begin + _CHUNK])
        ids.append(np.concatenate([np.array(one.ids, dtype=np.int32) for one in encoded]))
        offsets.append(np.concatenate([np.array(one.offsets, dtype=np.int32) for one in encoded]))
        lengths += [len(one) for one in encoded]
        cut += [_cut(one) for one in encoded]
    spans = np.concatenate(offsets) if offsets else np.zeros((0, 2), dtype=np.int32)
    return Pieces(
        np.concatenate(ids) if ids else np.zeros(0, dtype=np.int32),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.ascontiguousarray(spans[:, 0]),
        np.ascontiguousarray(spans[:, 1]),
        np.array(cut, dtype=np.int64),
    )


def _cut(encoded: Any) -> int:
    """Return the first code point that was cut off."""
    lost = (start for part in encoded.overflowing for start, end in part.offsets if end > start)
    return next(lost, int(_FAR))


def locate(
    pieces: Pieces, text: IntArray, start: IntArray, end: IntArray
) -> tuple[IntArray, IntArray]:
    """Find the pieces that overlap spans of code points.

    Args:
        pieces: tokenised texts.
        text: [m], the text of each span.
        start: [m], first code point in that text.
        end: [m], one past the last.

    Returns:
        First piece [m] and one past the last [m], positions in the text with special tokens; both
        0 where no piece overlaps, or where the span goes on after the text was cut.
    """
    owner = np.repeat(np.arange(len(pieces.cut)), np.diff(pieces.indptr))
    real = np.flatnonzero(pieces.end > pieces.start)  # special tokens have the empty span (0, 0)
    # One search for all texts: each text has a stretch of its own on one long axis.
    piece_start = owner[real] * _FAR + pieces.start[real]
    piece_end = owner[real] * _FAR + pieces.end[real]
    first = np.searchsorted(piece_end, text * _FAR + start, side="right")
    last = np.searchsorted(piece_start, text * _FAR + end, side="left")
    found = (last > first) & (end <= pieces.cut[text])
    where = np.append(real, 0)
    first = where[np.where(found, first, -1)] - pieces.indptr[text]
    last = where[np.where(found, last - 1, -1)] + 1 - pieces.indptr[text]
    return np.where(found, first, 0), np.where(found, last, 0)


def _match(
    abstracts: Sequence[Path], sentences: Sequence[Path], mentions: Sequence[Path]
) -> dict[str, tuple[Path, Path, Path]]:
    """Return the three files of each PubMed file, sorted by its name."""
    tables = [{path.stem: path for path in paths} for paths in (abstracts, sentences, mentions)]
    stems = {stem for table in tables for stem in table}
    odd = sorted(stem for stem in stems if not all(stem in table for table in tables))
    if odd:
        raise DataError(
            f"abstracts, sentences and mentions are of different files: '{odd[0]}' is not in all",
            hint="give the three files of each PubMed file",
        )
    return {stem: (tables[0][stem], tables[1][stem], tables[2][stem]) for stem in sorted(tables[0])}


def _linked(
    files: Sequence[Path], concepts: list[str], settings: PretrainDataSettings
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return the balanced mentions (file, pmid, sentence, node, start, end), sorted, and counts."""
    nodes = pl.DataFrame(
        {"concept": concepts, "node": np.arange(len(concepts), dtype=np.int32)},
        schema_overrides={"concept": pl.String},
    )
    columns = ["pmid", "sentence", "start", "end", "concept"]
    every = pl.concat(
        pl.read_parquet(file, columns=columns).with_columns(file=pl.lit(number, pl.Int32))
        for number, file in enumerate(files)
    )
    known = every.join(nodes, on="concept", how="inner").drop("concept")
    known = known.sort(["file", "pmid", "sentence", "start", "end", "node"])
    place = ["file", "pmid", "sentence"]
    known = known.with_columns(row=pl.struct(place).rle_id().cast(pl.Int64))
    heads = known.unique("row", keep="first", maintain_order=True)
    keys = counter_keys(
        settings.seed, heads["pmid"].to_numpy(), heads["sentence"].cast(pl.Int64).to_numpy()
    )
    kept = balance(
        known["row"].to_numpy(),
        known["node"].cast(pl.Int64).to_numpy(),
        keys,
        settings.sentences_per_concept,
    )
    balanced = known.filter(pl.Series(kept)).drop("row")
    counts = {
        "mentions_read": every.height,
        "mentions_outside_graph": every.height - known.height,
        "mentions_dropped_by_balancing": known.height - balanced.height,
        "sentences_linked": heads.height,
    }
    return balanced, counts


def _sentences(files: Iterable[tuple[Path, Path, Path]], linked: pl.DataFrame) -> pl.DataFrame:
    """Return the sentences of ``linked`` in its order: pmid, sentence, start, end, text."""
    found = []
    for number, (abstracts, sentences, _) in enumerate(files):
        wanted = linked.filter(pl.col("file") == number).select("pmid", "sentence").unique()
        spans = pl.read_parquet(sentences, columns=["pmid", "sentence", "start", "end"])
        texts = pl.read_parquet(abstracts, columns=["pmid", "text"])
        rows = wanted.join(spans, on=["pmid", "sentence"]).join(texts, on="pmid")
        if rows.height < wanted.height:
            raise DataError(
                f"{wanted.height - rows.height} sentences with mentions are not in the corpus",
                where=str(sentences),
                hint="link again: the mentions belong to another version of the corpus",
            )
        length = pl.col("end") - pl.col("start")
        found.append(
            rows.sort(["pmid", "sentence"]).with_columns(
                pl.col("text").str.slice(pl.col("start"), length)
            )
        )
    return pl.concat(found)


def _assemble(
    linked: pl.DataFrame,
    sentences: pl.DataFrame,
    pieces: Pieces,
    name_pieces: Pieces,
    settings: PretrainDataSettings,
) -> tuple[Arrays, dict[str, int]]:
    """Put the mentions on the pieces; drop those that were cut off, and sentences left bare."""
    row = linked.select(pl.struct("file", "pmid", "sentence").rle_id().cast(pl.Int64))
    text = row.to_series().to_numpy()
    begin, stop = (sentences[name].cast(pl.Int64).to_numpy()[text] for name in ("start", "end"))
    start, end = (linked[name].cast(pl.Int64).to_numpy() for name in ("start", "end"))
    outside = np.flatnonzero((start < begin) | (end > stop))
    if len(outside):
        raise DataError(
            f"{len(outside)} mentions are not inside their sentence",
            where=f"PMID {linked['pmid'][int(outside[0])]}",
            hint="link again: the mentions belong to another version of the corpus",
        )
    first, last = locate(pieces, text, start - begin, end - begin)
    found = last > first
    cut = end - begin > pieces.cut[text]
    kept = np.unique(text[found])
    new = np.full(len(sentences), -1)
    new[kept] = np.arange(len(kept))
    tokens, _ = ranges(pieces.indptr[kept], pieces.indptr[kept + 1])
    pmid = sentences["pmid"].cast(pl.Int64).to_numpy()[kept]
    train, validation = split(pmid, settings.validation_sentences, settings.seed)
    arrays = Arrays(
        tokens=pieces.ids[tokens],
        token_indptr=_indptr(np.diff(pieces.indptr)[kept]),
        pmid=pmid,
        number=sentences["sentence"].cast(pl.Int32).to_numpy()[kept],
        mention_indptr=_indptr(np.bincount(new[text[found]], minlength=len(kept))),
        mention_start=first[found].astype(np.int32),
        mention_end=last[found].astype(np.int32),
        mention_node=linked["node"].to_numpy()[found],
        name_tokens=name_pieces.ids,
        name_indptr=name_pieces.indptr,
        train=train,
        validation=validation,
    )
    counts = {
        "mentions_lost_by_truncation": int(cut.sum()),
        "mentions_without_pieces": int((~found & ~cut).sum()),
        "sentences_truncated": int(pieces.truncated[kept].sum()),
        "sentences_lost_by_truncation": len(sentences) - len(kept),
        "names_truncated": int(name_pieces.truncated.sum()),
    }
    return arrays, counts


def _indptr(lengths: IntArray) -> IntArray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _figures(arrays: Arrays, special: int) -> dict[str, float]:
    """Return the figures of METHODS.md, section 1; pieces are counted without special tokens."""
    sentences = len(arrays.pmid)
    owner = np.repeat(np.arange(sentences), np.diff(arrays.mention_indptr))
    pairs = np.unique(owner * (np.int64(1) << 32) + arrays.mention_node)
    lengths = np.diff(arrays.token_indptr) - special
    spans = arrays.mention_end - arrays.mention_start
    names = len(arrays.name_indptr) - 1
    return {
        "sentences": sentences,
        "train": len(arrays.train),
        "validation": len(arrays.validation),
        "citations": len(np.unique(arrays.pmid)),
        "mentions": len(spans),
        "concepts": len(np.unique(arrays.mention_node)),
        "pieces": int(lengths.sum()),
        "names": names,
        "concepts_per_sentence": len(pairs) / max(1, sentences),
        "pieces_per_sentence": float(lengths.sum()) / max(1, sentences),
        "pieces_per_mention": float(spans.sum()) / max(1, len(spans)),
        "pieces_per_name": (len(arrays.name_tokens) - special * names) / max(1, names),
    }
