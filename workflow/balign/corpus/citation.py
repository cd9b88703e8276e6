"""From one element of PubMed's XML to one row: what a citation or a deletion says of itself.

Element names and their meaning: https://dtd.nlm.nih.gov/ncbi/pubmed/doc/out/250101/index.html

Each table of handlers below names the children of one element that are read. One pass over the
children looks each of them up; what is in no table (authors, references, grants, history) is not
visited, and an identifier in a reference cannot be taken for the citation's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from lxml import etree

from balign.corpus.dates import medline_date, partial_date
from balign.corpus.schema import Row, empty_row

Handler = Callable[[etree._Element, Row], None]
Handlers = Mapping[Any, Handler]  # of the children of an element, by their names

_MATH = "{http://www.w3.org/1998/Math/MathML}math"
_NUMBER = re.compile(r"[0-9]{1,9}")
_IDENTIFIERS = {"doi": "doi", "pmc": "pmcid"}


def citation_row(element: etree._Element) -> Row:
    """Return the row of a ``PubmedArticle`` or ``PubmedBookArticle``.

    Raises:
        ValueError: if the element lacks what every citation has, a PMID first of all.
    """
    row = empty_row()
    walk(element, row, _CITATION)
    if row["pmid"] is None:
        raise ValueError("it has no <PMID> of its own")
    if row["title"] is None:
        raise ValueError("it has neither <Article> nor <BookDocument>")
    row["document"] = f"pmid:{row['pmid']}"
    return row


def deletion_rows(element: etree._Element) -> Iterator[Row]:
    """Yield the rows of a ``DeleteCitation``.

    A PMID without a version stands for every version of it.

    Raises:
        ValueError: if a PMID is not a number.
    """
    for item in element.iterchildren("PMID"):
        pmid, version = _identity(item)
        yield {"kind": "deletion", "document": f"pmid:{pmid}", "pmid": pmid, "version": version}


def flat_text(element: etree._Element) -> str:
    """Return the text of an element without its inline markup, white space collapsed.

    ``CO<sub>2</sub>`` gives ``CO2``. A run of white space, no-break and thin spaces and line feeds
    included, becomes one space; every other character stays as it is. Inside MathML white space
    between elements means nothing (MathML 3, section 2.1.7) and is left out.
    """
    text = "".join(_pieces(element)) if len(element) else element.text
    return " ".join(text.split()) if text else ""


@lru_cache(maxsize=1 << 16)
def _term(text: str | None) -> str:
    """Return the text of an element that has no markup, such as a MeSH heading."""
    return " ".join(text.split()) if text else ""


def _pieces(element: etree._Element) -> Iterator[str]:
    yield element.text or ""
    for child in element:
        if child.tag == _MATH:
            yield "".join(str(piece).strip() for piece in child.itertext())
        else:
            yield from _pieces(child)
        yield child.tail or ""


def walk(element: etree._Element, row: Row, handlers: Handlers) -> None:
    """Put into a row what the handlers make of an element's children."""
    for child in element:
        handler = handlers.get(child.tag)
        if handler is not None:
            handler(child, row)


def _into(handlers: Handlers) -> Handler:
    """Return a handler that goes on with an element's children."""
    return lambda element, row: walk(element, row, handlers)


def _text(column: str) -> Handler:
    """Return a handler that puts an element's text into a column, if it has any."""

    def handle(element: etree._Element, row: Row) -> None:
        row[column] = flat_text(element) or row[column]

    return handle


def _plain(column: str) -> Handler:
    """Return a handler like that of :func:`_text` for elements without markup."""

    def handle(element: etree._Element, row: Row) -> None:
        row[column] = _term(element.text) or row[column]

    return handle


def _date(column: str) -> Handler:
    """Return a handler that puts a date of Year, Month and Day into a column."""

    def handle(element: etree._Element, row: Row) -> None:
        parts = {child.tag: child.text for child in element}
        row[column] = partial_date(parts.get("Year"), parts.get("Month"), parts.get("Day"))

    return handle


def _medline_citation(element: etree._Element, row: Row) -> None:
    row["status"] = element.get("Status")
    walk(element, row, MEDLINE_CITATION)


def _article(element: etree._Element, row: Row) -> None:
    walk(element, row, ARTICLE)
    row["title"] = row["title"] or ""


def _book_document(element: etree._Element, row: Row) -> None:
    walk(element, row, _BOOK_DOCUMENT)
    # A whole book has no ArticleTitle; a chapter has both.
    row["title"] = row["title"] or row["journal"] or ""


def _pmid(element: etree._Element, row: Row) -> None:
    row["pmid"], version = _identity(element)
    row["version"] = 1 if version is None else version


def _publication_date(element: etree._Element, row: Row) -> None:
    parts = {child.tag: flat_text(child) for child in element}
    if "Year" in parts:
        row["published"] = partial_date(parts["Year"], parts.get("Month"), parts.get("Day"))
        if parts.get("Season"):
            row["published_text"] = f"{parts['Year']} {parts['Season']}"
    elif parts.get("MedlineDate"):
        row["published_text"] = parts["MedlineDate"]
        row["published"] = medline_date(parts["MedlineDate"])
    if row["published"]:
        row["year"] = int(row["published"][:4])


def _electronic_date(element: etree._Element, row: Row) -> None:
    if element.get("DateType", "Electronic") == "Electronic":
        _date("electronic")(element, row)


def _location(element: etree._Element, row: Row) -> None:
    """The publisher's DOI, where ``ArticleIdList``, which comes later, has none."""
    if element.get("EIdType") == "doi" and element.get("ValidYN") != "N":
        row["doi"] = row["doi"] or flat_text(element) or None


def _identifiers(element: etree._Element, row: Row) -> None:
    found: dict[str, str] = {}
    for item in element:
        column = _IDENTIFIERS.get(item.get("IdType", ""))
        if column:
            text = flat_text(item)
            if text:
                found.setdefault(column, text)
    row.update(found)


def _abstract(element: etree._Element, row: Row) -> None:
    row["abstract"] = _sections(element)
    copyright_ = element.find("CopyrightInformation")
    if copyright_ is not None:
        row["abstract_copyright"] = flat_text(copyright_) or None


def _other_abstract(element: etree._Element, row: Row) -> None:
    """Translations, abstracts written by others, summaries in plain language."""
    sections = _sections(element)
    if sections:
        kind, language = element.get("Type"), element.get("Language")
        row["other_abstracts"].append({"type": kind, "language": language, "sections": sections})


def _sections(element: etree._Element) -> list[Row]:
    found = []
    for item in element.iterchildren("AbstractText"):
        text = flat_text(item)
        if text:
            label = " ".join((item.get("Label") or "").split()) or None
            found.append({"label": label, "category": item.get("NlmCategory"), "text": text})
    return found


def _language(element: etree._Element, row: Row) -> None:
    text = _term(element.text)
    if text:
        row["languages"].append(text)


def _publication_type(element: etree._Element, row: Row) -> None:
    text = _term(element.text)
    if text:
        row["publication_types"].append(text)
        row["publication_type_uis"].append(element.get("UI"))


def _keywords(element: etree._Element, row: Row) -> None:
    for item in element:
        text = flat_text(item)
        if text:
            row["keywords"].append(text)
            row["keyword_majors"].append(item.get("MajorTopicYN") == "Y")


def _headings(element: etree._Element, row: Row) -> None:
    """MeSH headings; one is major if its descriptor or one of its qualifiers is."""
    found = row["mesh"]
    for heading in element:
        items = list(heading)
        if not items or items[0].tag != "DescriptorName":
            raise ValueError("a <MeshHeading> does not begin with a <DescriptorName>")
        (ui, major), *qualifiers = map(_ui_and_major, items)
        name, *names = [_term(item.text) for item in items]
        majors = [flag for _, flag in qualifiers]
        found.append(
            {
                "ui": ui,
                "name": name,
                "major": major or True in majors,
                "qualifiers": names,
                "descriptor_major": major,
                "qualifier_uis": [code for code, _ in qualifiers],
                "qualifier_majors": majors,
            }
        )


def _ui_and_major(element: etree._Element) -> tuple[str | None, bool]:
    """Both attributes at once, which takes half the time of two look-ups."""
    values: Any = element.values()
    if len(values) == 2 and values[1] in ("Y", "N"):
        return values[0], values[1] == "Y"
    return element.get("UI"), element.get("MajorTopicYN") == "Y"


def _supplementary(element: etree._Element, row: Row) -> None:
    for item in element:
        kind, ui = item.get("Type"), item.get("UI")
        row["supplementary_mesh"].append({"ui": ui, "name": _term(item.text), "type": kind})


def _chemicals(element: etree._Element, row: Row) -> None:
    for chemical in element:
        parts = {item.tag: item for item in chemical}
        name, number = parts.get("NameOfSubstance"), parts.get("RegistryNumber")
        if name is None:
            raise ValueError("a <Chemical> has no <NameOfSubstance>")
        registry = None if number is None else _term(number.text)
        # PubMed writes 0 where a substance has no registry number.
        if registry in ("", "0"):
            registry = None
        row["chemicals"].append(
            {"ui": name.get("UI"), "name": _term(name.text), "registry": registry}
        )


def _identity(element: etree._Element) -> tuple[int, int | None]:
    version = element.get("Version")
    pmid = _number(flat_text(element), "PMID")
    return pmid, None if version is None else _number(version, "Version")


def _number(text: str, what: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{what} {text!r} is not a number")
    return int(text)


_SHARED: Handlers = {
    "ArticleTitle": _text("title"),
    "VernacularTitle": _text("vernacular_title"),
    "Abstract": _abstract,
    "Language": _language,
}
ARTICLE: Handlers = {
    **_SHARED,
    "Journal": _into(
        {
            "ISSN": _plain("issn"),
            "JournalIssue": _into({"PubDate": _publication_date}),
            "Title": _plain("journal"),
            "ISOAbbreviation": _plain("journal_abbreviation"),
        }
    ),
    "ELocationID": _location,
    "PublicationTypeList": _into({"PublicationType": _publication_type}),
    "ArticleDate": _electronic_date,
}
MEDLINE_CITATION: Handlers = {
    "PMID": _pmid,
    "DateCompleted": _date("completed"),
    "DateRevised": _date("revised"),
    "Article": _article,
    "MedlineJournalInfo": _into(
        {"NlmUniqueID": _plain("nlm_journal"), "ISSNLinking": _plain("issn_linking")}
    ),
    "ChemicalList": _chemicals,
    "SupplMeshList": _supplementary,
    "MeshHeadingList": _headings,
    "OtherAbstract": _other_abstract,
    "KeywordList": _keywords,
}
_BOOK_DOCUMENT: Handlers = {
    **_SHARED,
    "PMID": _pmid,
    "ArticleIdList": _identifiers,
    "Book": _into({"BookTitle": _text("journal"), "PubDate": _publication_date}),
    "PublicationType": _publication_type,
    "KeywordList": _keywords,
    "DateRevised": _date("revised"),
}
_CITATION: Handlers = {
    "MedlineCitation": _medline_citation,
    "PubmedData": _into({"ArticleIdList": _identifiers}),
    "BookDocument": _book_document,
    "PubmedBookData": _into({"ArticleIdList": _identifiers}),
}
