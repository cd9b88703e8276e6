"""Reader of tagged words: IOB/CoNLL, one word a line, an empty line after a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from balign.errors import DataError
from balign.evaluate.examples import Tagged
from balign.evaluate.formats_text import json_lines, read_text, strings

OUTSIDE = "O"


def read_iob(path: Path, word_column: int = 0, tag_column: int = -1) -> list[Tagged]:
    """Return the sentences of an IOB or CoNLL file.

    Columns are separated by tabs, or by blanks where a line has no tab. Lines ``-DOCSTART-`` are
    left out. Tags of IOB1 (an entity that begins with ``I-``) become IOB2.

    Raises:
        DataError: for a line with too few columns, or a tag that is none.
    """
    sentences = []
    words: list[str] = []
    tags: list[str] = []
    begin = 1

    def close() -> None:
        if words:
            sentences.append(Tagged(str(begin), tuple(words), iob2(tags)))
            words.clear()
            tags.clear()

    for number, line in enumerate(read_text(path).split("\n"), 1):
        line = line.rstrip("\r")
        if not line.strip() or line.startswith("-DOCSTART-"):
            close()
            continue
        fields = line.split("\t") if "\t" in line else line.split()
        if len(fields) < 2 or len(fields) <= max(word_column, tag_column):
            raise DataError(
                f"a tagged word has a column for the word and one for the tag: {line!r}",
                where=f"{path}, line {number}",
            )
        tag = fields[tag_column].strip()
        if not is_tag(tag):
            raise DataError(
                f"not a tag: {tag!r}",
                where=f"{path}, line {number}",
                hint="tags are O, B-<type> and I-<type>; tag_column says where they are",
            )
        if not words:
            begin = number
        words.append(fields[word_column])
        tags.append(tag)
    close()
    return sentences


def read_tagged_jsonl(path: Path, words: str, tags: str, name: str | None) -> list[Tagged]:
    """Return the sentences of a JSONL file with a list of words and one of tags a line.

    Raises:
        DataError: for a line that is no JSON object, lacks a key, or has lists of other lengths.
    """
    sentences = []
    for number, value in json_lines(path):
        where = f"{path}, line {number}"
        these, those = strings(value, words, where), strings(value, tags, where)
        if len(these) != len(those) or not all(map(is_tag, those)):
            raise DataError(
                f"'{tags}' must hold one of O, B-<type>, I-<type> for each of '{words}'",
                where=where,
            )
        identity = str(value.get(name, number)) if name else str(number)
        sentences.append(Tagged(identity, tuple(these), iob2(those)))
    return sentences


def is_tag(tag: str) -> bool:
    """Tell whether a string is a tag."""
    return tag == OUTSIDE or (tag[:2] in ("B-", "I-") and len(tag) > 2)


def iob2(tags: Sequence[str]) -> tuple[str, ...]:
    """Return tags of IOB1 or IOB2 as IOB2: every entity begins with ``B-``."""
    found = []
    before = OUTSIDE
    for tag in tags:
        inside = tag.startswith("I-") and before[2:] == tag[2:]
        found.append(tag if tag == OUTSIDE or inside else "B-" + tag[2:])
        before = tag
    return tuple(found)


def only_types(
    sentences: Sequence[Tagged], types: Sequence[str], name: str | None
) -> Iterator[Tagged]:
    """Yield sentences with the entities of some types (empty: all), called ``name`` if given."""
    for one in sentences:
        tags = []
        for tag in one.tags:
            if tag == OUTSIDE or (types and tag[2:] not in types):
                tags.append(OUTSIDE)
            else:
                tags.append(tag[:2] + name if name else tag)
        yield Tagged(one.id, one.words, tuple(tags))
