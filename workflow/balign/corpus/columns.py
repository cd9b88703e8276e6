"""From the parts of plain citations to columns, many citations at a time.

Most of what a citation holds (journals, dates, MeSH headings) has been seen before: it is looked up
by its own XML, and the handlers of :mod:`balign.corpus.citation` read each such XML once. Texts are
gathered as they are in the file and cleaned column by column. The rows are those that the XML
parser gives.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence, Set
from functools import lru_cache
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from lxml import etree

from balign.corpus.citation import ARTICLE, MEDLINE_CITATION, Handlers, flat_text
from balign.corpus.flat import flat, flat_texts, offsets_of, or_null, raw_text, sums, without_markup
from balign.corpus.known import PARSER, Items, Mesh, Part, Remembered, chemical, reader, terms
from balign.corpus.plain import PART, Parts
from balign.corpus.schema import PARSED_SCHEMA, SECTIONS

_STATUS = re.compile(r'^(?: Status="([^"]*)")?(?: (?!Status=)\w+="[^"]*")*$')
_SECTION = re.compile(
    rb'<AbstractText(?: Label="([^"<&\t\n\r]*)")?(?: NlmCategory="(\w+)")?>'
    rb"([^<]*)</AbstractText>"
)
_COPYRIGHT = re.compile(rb"<CopyrightInformation>([^<]*)</CopyrightInformation>\s*")
_KEYWORD = re.compile(rb'<Keyword MajorTopicYN="([YN])">([^<]*)</Keyword>')
_IDENTIFIER = re.compile(rb'IdType="(doi|pmc)">([^<]*)<')
_LOCATION = re.compile(rb'EIdType="doi" ValidYN="Y">([^<]*)<')


class PlainRows:
    """Plain citations that are gathered, of which a table is made.

    Args:
        columns: of :data:`PARSED_SCHEMA`, those that are read; the others are null.
    """

    def __init__(self, columns: Set[str]) -> None:
        parts = [(name, part) for name, part in _parts() if not columns.isdisjoint(part.columns)]
        self._columns = columns
        self._parts = [part for _, part in parts]
        self._reads = [(part.read, PART[name]) for name, part in parts]
        self._rows: list[list[Any]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, parts: Parts) -> bool:
        """Add a citation, if it is of the plain form to the end; tell whether it is."""
        try:
            self._rows.append([read(parts[place]) for read, place in self._reads])
        except (etree.XMLSyntaxError, ValueError):
            return False  # the parser of the whole citation says what is wrong, and where
        return True

    def table(self) -> pa.Table:
        """Return the citations added since the last call."""
        count = len(self._rows)
        found = {"kind": pa.repeat("citation", count)}
        for part, values in zip(self._parts, zip(*self._rows, strict=True), strict=False):
            for name, array in zip(part.columns, part.arrays(values), strict=True):
                if name in self._columns:
                    # The publisher's DOI comes after the citation's own.
                    found[name] = pc.coalesce(found[name], array) if name in found else array
        self._rows = []
        arrays = [
            found[field.name] if field.name in found else pa.nulls(count, field.type)
            for field in PARSED_SCHEMA
        ]
        return pa.Table.from_arrays(arrays, schema=PARSED_SCHEMA)


class _Read:
    """Elements that are rarely there and never twice."""

    def __init__(self, handlers: Handlers, column: str) -> None:
        self.columns = (column,)
        self._make = reader(handlers, column)

    def read(self, xml: bytes | None) -> Any:
        return self._make(xml.decode())[0] if xml else []

    def arrays(self, values: Sequence[Any]) -> list[pa.Array]:
        return [pa.array(values, PARSED_SCHEMA.field(self.columns[0]).type)]


class _Identity:
    columns = ("pmid", "document")

    def read(self, xml: bytes | None) -> int:
        return int(xml or 0)  # its digits, which are always there

    def arrays(self, values: Sequence[int]) -> list[pa.Array]:
        return [pa.array(values, pa.int64()), pa.array([f"pmid:{pmid}" for pmid in values])]


class _Text:
    """Elements of text, maybe with inline markup.

    Args:
        column: the column.
        name: of the element.
        nullable: whether null stands for one without text.
    """

    def __init__(self, column: str, name: str, nullable: bool = False) -> None:
        self.columns = (column,)
        self._name = name
        self._nullable = nullable

    def read(self, xml: bytes | None) -> bytes:
        if not xml:
            return b""
        if b"<" in xml or b">" in xml:
            return _bare(xml, self._name)
        return xml

    def arrays(self, values: Sequence[bytes]) -> list[pa.Array]:
        texts = flat_texts(values)
        return [or_null(texts) if self._nullable else texts]


class _Abstract:
    columns = ("abstract", "abstract_copyright")

    def read(self, xml: bytes | None) -> tuple[list[tuple[bytes, ...]], bytes]:
        if not xml:
            return [], b""
        if xml.count(b"<") == xml.count(b">"):  # a bare > may be of "]]>", which XML forbids
            at = xml.rfind(b"<CopyrightInformation>")
            copyright_ = _COPYRIGHT.fullmatch(xml, at) if at >= 0 else None
            ends = 2 * xml.count(b"</AbstractText>") + 2 * (copyright_ is not None)
            text = without_markup(xml, ends)
            found = _SECTION.findall(text)
            if text.count(b"<") == 2 * len(found) + 2 * (copyright_ is not None):
                return found, copyright_[1] if copyright_ else b""
        sections, said = _read_abstract(f"<Abstract>{xml.decode()}</Abstract>")
        keys = ("label", "category", "text")
        return (
            [(*map(raw_text, (part[key] for key in keys)),) for part in sections],
            raw_text(said),
        )

    def arrays(self, values: Sequence[tuple[list[tuple[bytes, ...]], bytes]]) -> list[pa.Array]:
        lists = [sections for sections, _ in values]
        labels, categories, raw = _columns(lists, 3)
        texts = flat_texts(raw)
        items = pa.StructArray.from_arrays(
            [
                pa.array(map(_label, labels), pa.string()),
                pa.array([category or None for category in categories], pa.string()),
                texts,
            ],
            fields=list(SECTIONS.value_type),
        )
        (sections,) = _with_text(lists, texts, (items, SECTIONS))
        return [sections, or_null(flat_texts([said for _, said in values]))]


class _Keywords:
    columns = ("keywords", "keyword_majors")

    def read(self, xml: bytes | None) -> list[tuple[bytes, bytes]]:
        if not xml:
            return []
        if xml.count(b"<") == xml.count(b">"):
            lists = xml.count(b"</KeywordList>")
            text = without_markup(xml, 2 * xml.count(b"</Keyword>") + 2 * lists)
            found = _KEYWORD.findall(text)
            if text.count(b"<") == 2 * len(found) + 2 * lists:
                return found
        words, majors = _read_keywords(xml.decode())
        return [(b"NY"[m : m + 1], raw_text(w)) for w, m in zip(words, majors, strict=True)]

    def arrays(self, values: Sequence[list[tuple[bytes, bytes]]]) -> list[pa.Array]:
        majors, raw = _columns(values, 2)
        texts = flat_texts(raw)
        flags = pa.array([major == b"Y" for major in majors], pa.bool_())
        types = [PARSED_SCHEMA.field(name).type for name in self.columns]
        return _with_text(values, texts, (texts, types[0]), (flags, types[1]))


class _Identifiers:
    columns = ("doi", "pmcid")

    def read(self, xml: bytes | None) -> tuple[bytes, bytes]:
        doi = pmc = b""
        for kind, text in _IDENTIFIER.findall(xml or b""):
            if kind == b"doi":
                doi = doi or _said(text)
            elif kind == b"pmc":
                pmc = pmc or _said(text)
        return doi, pmc

    def arrays(self, values: Sequence[tuple[bytes, bytes]]) -> list[pa.Array]:
        return [or_null(flat_texts(texts)) for texts in zip(*values, strict=True)]


class _Locations:
    """The publisher's DOI."""

    columns = ("doi",)

    def read(self, xml: bytes | None) -> bytes:
        if not xml:
            return b""
        return next(filter(None, map(_said, _LOCATION.findall(xml))), b"")

    def arrays(self, values: Sequence[bytes]) -> list[pa.Array]:
        return [or_null(flat_texts(values))]


def _parts() -> list[tuple[str, Part]]:
    """Return what reads each part of a citation; of a column that two make the first counts."""

    def remembered(handlers: Handlers, *columns: str, inside: str = "{}") -> Part:
        return Remembered(reader(handlers, *columns, inside=inside), *columns)

    in_journal = "<Journal>{}</Journal>"
    in_issue = "<Journal><JournalIssue>{}</JournalIssue></Journal>"
    return [
        ("pmid", _Identity()),
        ("version", Remembered(lambda xml: (int(xml or 1),), "version")),
        ("title", _Text("title", "ArticleTitle")),
        ("vernacular", _Text("vernacular_title", "VernacularTitle", nullable=True)),
        ("abstract", _Abstract()),
        ("others", _Read(MEDLINE_CITATION, "other_abstracts")),
        ("languages", remembered(ARTICLE, "languages")),
        ("issn", terms(ARTICLE, in_journal, ISSN="issn")),
        (
            "journal",
            terms(ARTICLE, in_journal, Title="journal", ISOAbbreviation="journal_abbreviation"),
        ),
        (
            "information",
            terms(MEDLINE_CITATION, "{}", ISSNLinking="issn_linking", NlmUniqueID="nlm_journal"),
        ),
        (
            "published",
            remembered(ARTICLE, "year", "published", "published_text", inside=in_issue),
        ),
        ("dates", remembered(ARTICLE, "electronic")),
        ("completed", remembered(MEDLINE_CITATION, "completed")),
        ("revised", remembered(MEDLINE_CITATION, "revised")),
        ("types", remembered(ARTICLE, "publication_types", "publication_type_uis")),
        ("mesh", Mesh()),
        ("supplementary", remembered(MEDLINE_CITATION, "supplementary_mesh")),
        ("chemicals", Items(chemical, "chemicals", b"</Chemical>")),
        ("keywords", _Keywords()),
        ("identifiers", _Identifiers()),
        ("locations", _Locations()),
        ("attributes", Remembered(_status, "status")),
    ]


_read_abstract = reader(ARTICLE, "abstract", "abstract_copyright")
_read_keywords = reader(MEDLINE_CITATION, "keywords", "keyword_majors")


def _columns(lists: Iterable[Iterable[Sequence[bytes]]], count: int) -> Sequence[Sequence[bytes]]:
    """Return the items of all lists, tuples of a length, by their places."""
    items = list(chain.from_iterable(lists))
    return list(zip(*items, strict=True)) if items else [()] * count


def _with_text(
    lists: Sequence[Sequence[Any]], texts: pa.Array, *columns: tuple[pa.Array, pa.DataType]
) -> list[pa.Array]:
    """Return columns of the lists' items, those without text left out."""
    said = pc.not_equal(texts, "")
    offsets = sums(said.to_numpy(False))[offsets_of(lists)]
    return [
        pa.ListArray.from_arrays(offsets, items.filter(said), type=kind) for items, kind in columns
    ]


def _bare(xml: bytes, name: str) -> bytes:
    """Return the text of an element without markup, as it would stand in a file."""
    xml = without_markup(xml)
    if b"<" in xml or b">" in xml:  # a > may be of "]]>", which XML forbids
        return raw_text(flat_text(etree.fromstring(f"<{name}>{xml.decode()}</{name}>", PARSER)))
    return xml


def _said(text: bytes) -> bytes:
    """Return an identifier, nothing if it is white space."""
    if not text.isascii():
        raise ValueError("it may be of other white space")
    return text.strip()


@lru_cache(maxsize=1 << 16)
def _label(raw: bytes) -> str | None:
    return flat(raw.decode()) or None


def _status(xml: str) -> tuple[str | None]:
    found = _STATUS.match(xml)
    if found is None:
        raise ValueError("attributes of another form")
    return (found[1],)
