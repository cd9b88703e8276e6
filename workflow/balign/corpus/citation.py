"""From one element of PubMed's XML to one row: what a citation or a deletion says of itself.

Element names and their meaning: https://dtd.nlm.nih.gov/ncbi/pubmed/doc/out/250101/index.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from lxml import etree

Row = dict[str, Any]

MESH = pa.list_(
    pa.struct(
        [
            ("ui", pa.string()),
            ("name", pa.string()),
            ("major", pa.bool_()),
            ("qualifiers", pa.list_(pa.string())),
        ]
    )
)

PARSED_SCHEMA = pa.schema(
    [
        ("kind", pa.string()),  # 'citation' or 'deletion'; a deletion has pmid and version alone
        ("pmid", pa.int64()),
        ("version", pa.int32()),  # null in a deletion: every version
        ("title", pa.string()),
        ("vernacular_title", pa.string()),
        (
            "abstract",
            pa.list_(
                pa.struct(
                    [("label", pa.string()), ("category", pa.string()), ("text", pa.string())]
                )
            ),
        ),
        ("languages", pa.list_(pa.string())),
        ("journal", pa.string()),
        ("year", pa.int32()),
        ("publication_types", pa.list_(pa.string())),
        ("mesh", MESH),
        (
            "chemicals",
            pa.list_(
                pa.struct([("ui", pa.string()), ("name", pa.string()), ("registry", pa.string())])
            ),
        ),
        ("keywords", pa.list_(pa.string())),
        ("doi", pa.string()),
        ("pmcid", pa.string()),
        ("status", pa.string()),
    ]
)
"""One row a citation or deletion, in the file's order. A citation has empty lists, not nulls."""

_MATH = "{http://www.w3.org/1998/Math/MathML}math"
_NUMBER = re.compile(r"[0-9]{1,9}")
# A MedlineDate is free text: "1978 Nov-1979 Jan", "Winter 1979", "1977-1978".
_YEAR = re.compile(r"(?<!\d)(?:1[5-9]|20)\d\d(?!\d)")


def citation_row(element: etree._Element) -> Row:
    """Return the row of a ``PubmedArticle`` or ``PubmedBookArticle``.

    Raises:
        ValueError: if the element lacks what every citation has, a PMID first of all.
    """
    if element.tag == "PubmedBookArticle":
        return _book_row(element)
    citation = _required(element, "MedlineCitation")
    article = _required(citation, "Article")
    date = article.find("Journal/JournalIssue/PubDate")
    row = _common_row(citation, article, date, element.find("PubmedData/ArticleIdList"))
    row["vernacular_title"] = _text_at(article, "VernacularTitle")
    row["journal"] = _text_at(article, "Journal/Title")
    row["mesh"] = [_heading(item) for item in citation.iterfind("MeshHeadingList/MeshHeading")]
    row["chemicals"] = [_chemical(item) for item in citation.iterfind("ChemicalList/Chemical")]
    row["status"] = citation.get("Status")
    return row


def _book_row(element: etree._Element) -> Row:
    document = _required(element, "BookDocument")
    date = document.find("Book/PubDate")
    row = _common_row(document, document, date, element.find("PubmedBookData/ArticleIdList"))
    # A whole book has no ArticleTitle; a chapter has both.
    row["title"] = row["title"] or _text_at(document, "Book/BookTitle") or ""
    row["vernacular_title"] = _text_at(document, "VernacularTitle")
    row["journal"] = _text_at(document, "Book/BookTitle")
    row["mesh"], row["chemicals"], row["status"] = [], [], None
    return row


def _common_row(
    citation: etree._Element,
    article: etree._Element,
    date: etree._Element | None,
    identifiers: etree._Element | None,
) -> Row:
    """Return what journal articles and books share.

    ``identifiers`` is the citation's own list: the lists inside ``ReferenceList`` name others.
    """
    pmid, version = _pmid(_required(citation, "PMID"))
    return {
        "kind": "citation",
        "pmid": pmid,
        "version": 1 if version is None else version,
        "title": _text_at(article, "ArticleTitle") or "",
        # OtherAbstract is another element: translations and abstracts written by others.
        "abstract": list(_sections(article)),
        "languages": _texts(article.iterfind("Language")),
        "year": _year(date),
        "publication_types": _texts(article.iterfind(".//PublicationType")),
        "keywords": _texts(citation.iterfind("KeywordList/Keyword")),
        "doi": _identifier(identifiers, "doi"),
        "pmcid": _identifier(identifiers, "pmc"),
    }


def deletion_rows(element: etree._Element) -> Iterator[Row]:
    """Yield the rows of a ``DeleteCitation``.

    A PMID without a version stands for every version of it.

    Raises:
        ValueError: if a PMID is not a number.
    """
    for item in element.iterfind("PMID"):
        pmid, version = _pmid(item)
        yield {"kind": "deletion", "pmid": pmid, "version": version}


def flat_text(element: etree._Element) -> str:
    """Return the text of an element without its inline markup, white space collapsed.

    ``CO<sub>2</sub>`` gives ``CO2``. A run of white space, no-break and thin spaces and line feeds
    included, becomes one space; every other character stays as it is. Inside MathML white space
    between elements means nothing (MathML 3, section 2.1.7) and is left out.
    """
    return " ".join("".join(_pieces(element)).split())


def _pieces(element: etree._Element) -> Iterator[str]:
    yield element.text or ""
    for child in element:
        if child.tag == _MATH:
            yield "".join(str(piece).strip() for piece in child.itertext())
        else:
            yield from _pieces(child)
        yield child.tail or ""


def _sections(article: etree._Element) -> Iterator[dict[str, str | None]]:
    for item in article.iterfind("Abstract/AbstractText"):
        text = flat_text(item)
        if text:
            label = " ".join((item.get("Label") or "").split()) or None
            yield {"label": label, "category": item.get("NlmCategory"), "text": text}


def _heading(element: etree._Element) -> Row:
    """Return a MeSH heading; it is major if the descriptor or one of its qualifiers is."""
    descriptor = _required(element, "DescriptorName")
    qualifiers = element.findall("QualifierName")
    return {
        "ui": descriptor.get("UI"),
        "name": flat_text(descriptor),
        "major": any(item.get("MajorTopicYN") == "Y" for item in (descriptor, *qualifiers)),
        "qualifiers": _texts(iter(qualifiers)),
    }


def _chemical(element: etree._Element) -> Row:
    name = _required(element, "NameOfSubstance")
    registry = _text_at(element, "RegistryNumber")
    # PubMed writes 0 where a substance has no registry number.
    return {
        "ui": name.get("UI"),
        "name": flat_text(name),
        "registry": None if registry == "0" else registry,
    }


def _year(date: etree._Element | None) -> int | None:
    """Return the first year of a ``PubDate``."""
    if date is None:
        return None
    found = _YEAR.search(_text_at(date, "Year") or _text_at(date, "MedlineDate") or "")
    return int(found.group()) if found else None


def _identifier(identifiers: etree._Element | None, kind: str) -> str | None:
    if identifiers is None:
        return None
    found = (item for item in identifiers.iterfind("ArticleId") if item.get("IdType") == kind)
    return next(iter(_texts(found)), None)


def _pmid(element: etree._Element) -> tuple[int, int | None]:
    version = element.get("Version")
    pmid = _number(flat_text(element), "PMID")
    return pmid, None if version is None else _number(version, "Version")


def _number(text: str, what: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{what} {text!r} is not a number")
    return int(text)


def _required(element: etree._Element, name: str) -> etree._Element:
    found = element.find(name)
    if found is None:
        raise ValueError(f"<{element.tag}> has no <{name}>")
    return found


def _text_at(element: etree._Element, path: str) -> str | None:
    """Return the flat text at ``path``, or None if it is empty or not there."""
    found = element.find(path)
    return None if found is None else flat_text(found) or None


def _texts(elements: Iterator[etree._Element]) -> list[str]:
    return [text for text in map(flat_text, elements) if text]
