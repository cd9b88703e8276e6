"""Citations in the form that PubMed's own program writes, found without an XML parser.

PubMed's files are written by one program: the children of an element come in the DTD's order,
attributes in one order, and there is no comment and no CDATA section. Two regular expressions match
a citation of this form; between them, and after them, stand the lists of authors and references,
which are long and not read. :func:`plain_parts` returns None for all else, and then the XML parser
reads the citation. :mod:`balign.corpus.columns` makes columns of the parts.

The element order: https://dtd.nlm.nih.gov/ncbi/pubmed/doc/out/250101/index.html
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

END = b"</PubmedArticle>"

Parts = Sequence[bytes | None]

_ATTRIBUTES = r'(?: \w+="[^"<&\s]*")*'
# The only processing instructions that PubMed writes, and where.
_INSTRUCTION = r"<\?(?:pmcsd|nihms) \?>"
_PLACED_INSTRUCTION = re.compile(rf"</ArticleIdList>\s*{_INSTRUCTION}".encode())
_ENTITIES = (b"&lt;", b"&gt;", b"&amp;", b"&quot;", b"&apos;")


def _start(name: str) -> str:
    return rf'<{name}(?: \w+="[^"<]*")*>'


def _inside(name: str) -> str:
    return rf"[^<]*+(?:<(?!/{name}>)[^<]*+)*+"


def _any(name: str) -> str:
    """Match an element of which no child has the same name."""
    return f"{_start(name)}{_inside(name)}</{name}>"


def _one(pattern: str) -> str:
    return rf"(?:{pattern}\s*+)?+"


def _many(pattern: str) -> str:
    return rf"(?:{pattern}\s*+)*+"


def _coded(name: str) -> str:
    """Match a descriptor or qualifier of MeSH."""
    return rf'<{name} UI="\w+" MajorTopicYN="[YN]"(?: Type="\w+")?+>[^<>]*+</{name}>\s*+'


_HEADINGS = (
    rf"(?:<MeshHeading>\s*{_coded('DescriptorName')}(?:{_coded('QualifierName')})*+"
    r"</MeshHeading>\s*+)*+"
)
_LOCATION = r'<ELocationID EIdType="\w+" ValidYN="[YN]">[^<>]*+</ELocationID>'
_IDENTIFIER = r'<ArticleId IdType="\w+">[^<>]*+</ArticleId>'
_HEAD = re.compile(
    (
        rf"\s*<PubmedArticle>\s*<MedlineCitation(?P<attributes>{_ATTRIBUTES})>\s*"
        r'<PMID(?: Version="(?P<version>[0-9]{1,9})")?>(?P<pmid>[0-9]{1,9})</PMID>\s*'
        + _one(f"(?P<completed>{_any('DateCompleted')})")
        + _one(f"(?P<revised>{_any('DateRevised')})")
        + rf"<Article{_ATTRIBUTES}>\s*"
        + rf"<Journal>\s*(?P<issn>{_one(_any('ISSN'))})<JournalIssue{_ATTRIBUTES}>\s*"
        + _one(_any("Volume"))
        + _one(_any("Issue"))
        + f"(?P<published>{_any('PubDate')})"
        + r"\s*</JournalIssue>\s*"
        + f"(?P<journal>{_one(_any('Title'))}{_one(_any('ISOAbbreviation'))})</Journal>"
        + rf"\s*<ArticleTitle>(?P<title>{_inside('ArticleTitle')})</ArticleTitle>\s*"
        + _one(_any("Pagination"))
        + f"(?P<locations>{_many(_LOCATION)})"
        + _one(f"<Abstract>(?P<abstract>{_inside('Abstract')})</Abstract>")
        + f"({_start('AuthorList')})?+"
    ).encode()
)
_AUTHORS_END = b"</AuthorList>"
_TAIL = re.compile(
    (
        rf"\s*(?P<languages>{_many(_any('Language'))})"
        + _one(_any("DataBankList"))
        + _one(_any("GrantList"))
        + _one(f"(?P<types>{_any('PublicationTypeList')})")
        + _one(f"<VernacularTitle>(?P<vernacular>{_inside('VernacularTitle')})</VernacularTitle>")
        + f"(?P<dates>{_many(_any('ArticleDate'))})"
        + r"</Article>\s*"
        + _one(f"(?P<information>{_any('MedlineJournalInfo')})")
        + _one(f"<ChemicalList>(?P<chemicals>{_inside('ChemicalList')})</ChemicalList>")
        + _one(f"(?P<supplementary>{_any('SupplMeshList')})")
        + _many(_any("CitationSubset"))
        + _one(_any("CommentsCorrectionsList"))
        + _one(_any("GeneSymbolList"))
        + _one(rf"<MeshHeadingList>\s*+(?P<mesh>{_HEADINGS})</MeshHeadingList>")
        + _one(_any("NumberOfReferences"))
        + _one(_any("PersonalNameSubjectList"))
        + _many(_any("OtherID"))
        + f"(?P<others>{_many(_any('OtherAbstract'))})"
        + f"(?P<keywords>{_many(_any('KeywordList'))})"
        + _one(_any("CoiStatement"))
        + _many(_any("SpaceFlightMission"))
        + _one(_any("InvestigatorList"))
        + _many(_any("GeneralNote"))
        + r"</MedlineCitation>\s*<PubmedData>\s*"
        + _one(_any("History"))
        + _one(_any("PublicationStatus"))
        + rf"<ArticleIdList>\s*+(?P<identifiers>{_many(_IDENTIFIER)})</ArticleIdList>\s*"
        + _one(_INSTRUCTION)
        + _one(_any("ObjectList"))
    ).encode()
)
_REFERENCES = re.compile(_start("ReferenceList").encode())
_REFERENCES_END = b"</ReferenceList>"
_LAST = re.compile(rb"</PubmedData>\s*")
_SPACE = re.compile(rb"\s*")

PART = {
    name: number - 1
    for name, number in [
        *_HEAD.groupindex.items(),
        *((name, number + _HEAD.groups) for name, number in _TAIL.groupindex.items()),
    ]
}
"""Where each part of a citation is in what :func:`plain_parts` returns."""


def is_plain(piece: bytes, line_feeds: int) -> bool:
    """Tell whether the citations in a piece of a file may be read without an XML parser.

    There is no comment, CDATA section, unknown processing instruction, control character,
    character that XML forbids, broken UTF-8 or reference other than to the five characters of XML.
    What is sought is rare, which ``find`` and NumPy use; ``in`` and regular expressions stop at
    each of a file's ``<``.

    Args:
        piece: the bytes.
        line_feeds: how many of them are line feeds.
    """
    if any(piece[at - 1] == ord("<") for at in _places(piece, b"!")):
        return False
    instructions = sum(piece[at - 1] == ord("<") for at in _places(piece, b"?"))
    if instructions and instructions != len(_PLACED_INSTRUCTION.findall(piece)):
        return False
    if not all(piece.startswith(_ENTITIES, at) for at in _places(piece, b"&")):
        return False
    controls = int(np.count_nonzero(np.frombuffer(piece, np.uint8) < 32)) - line_feeds
    if controls and controls != piece.count(b"\t") + piece.count(b"\r"):
        return False
    if b"\xef" in piece and (b"\xef\xbf\xbe" in piece or b"\xef\xbf\xbf" in piece):
        return False
    return piece.isascii() or _is_utf8(piece)


def _places(piece: bytes, byte: bytes) -> list[int]:
    found, at = [], piece.find(byte)
    while at >= 0:
        found.append(at)
        at = piece.find(byte, at + 1)
    return found


def _is_utf8(piece: bytes) -> bool:
    """Arrow takes a third of the time of ``decode``."""
    offsets = pa.py_buffer(np.array([0, len(piece)], np.int32))
    whole = pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(piece)])
    try:
        whole.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def plain_parts(piece: bytes, begin: int, end: int) -> Parts | None:
    """Return the parts of a citation, None if it is not of the plain form.

    Args:
        piece: of a file, such that :func:`is_plain`, below a root that declares no namespace.
        begin: the citation's first byte, or white space before it.
        end: the byte before its :data:`END`.
    """
    head = _HEAD.match(piece, begin, end)
    if head is None:
        return None
    at = head.end()
    if head[_HEAD.groups] is not None:
        at = piece.find(_AUTHORS_END, at, end)
        if at < 0:
            return None
        at += len(_AUTHORS_END)
    tail = _TAIL.match(piece, at, end)
    if tail is None:
        return None
    at = tail.end()
    while (references := _REFERENCES.match(piece, at, end)) is not None:
        at = piece.find(_REFERENCES_END, references.end(), end)
        if at < 0:
            return None
        at = _SPACE.match(piece, at + len(_REFERENCES_END), end).end()  # type: ignore[union-attr]
    if _LAST.fullmatch(piece, at, end) is None:
        return None
    return head.groups() + tail.groups()
