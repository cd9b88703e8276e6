"""Citations in the form that PubMed's own program writes, read without an XML parser.

PubMed's files are written by one program: the children of an element come in the DTD's order,
attributes in one order, and there is no comment and no CDATA section. A citation of this form is
matched by one regular expression, and most of what it holds (journals, dates, MeSH headings) has
been seen before and is looked up by its own XML. :func:`plain_row` returns None for all else, and
then the XML parser reads the citation. Both ways give the same rows, which share their lists: a
list that occurs in two rows is one object.

The element order: https://dtd.nlm.nih.gov/ncbi/pubmed/doc/out/250101/index.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from lxml import etree

from balign.corpus.citation import ARTICLE, MEDLINE_CITATION, Handlers, flat_text, walk
from balign.corpus.schema import Row, empty_row

END = b"</PubmedArticle>"

_REMEMBERED = 1 << 16  # entries a table

_PARSER = etree.XMLParser(no_network=True, load_dtd=False)
_ENTITIES = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&amp;": "&"}
_ENTITY = re.compile("&(?:lt|gt|quot|apos|amp);")
_ATTRIBUTES = r'(?: \w+="[^"<&\s]*")*'


def _any(name: str) -> str:
    """Match an element of which no child has the same name."""
    return rf'<{name}(?: \w+="[^"<]*")*>{_inside(name)}</{name}>'


def _inside(name: str) -> str:
    return rf"[^<]*+(?:<(?!/{name}>)[^<]*+)*+"


def _one(pattern: str) -> str:
    return rf"(?:{pattern}\s*+)?+"


def _many(pattern: str) -> str:
    return rf"(?:{pattern}\s*+)*+"


_CITATION = re.compile(
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
    + f"(?P<locations>{_many(_any('ELocationID'))})"
    + _one(f"<Abstract>(?P<abstract>{_inside('Abstract')})</Abstract>")
    + _one(_any("AuthorList"))
    + f"(?P<languages>{_many(_any('Language'))})"
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
    + _one(f"<MeshHeadingList>(?P<mesh>{_inside('MeshHeadingList')})</MeshHeadingList>")
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
    + rf"<ArticleIdList>(?P<identifiers>{_inside('ArticleIdList')})</ArticleIdList>\s*"
    + _one(_any("ObjectList"))
    + _many(_any("ReferenceList"))
    + r"</PubmedData>\s*",
    re.ASCII,
)
_STATUS = re.compile(r'^(?: Status="([^"]*)")?(?: (?!Status=)\w+="[^"]*")*$')
# Elements with text alone; all "<" of a list that has nothing else stand in these.
_SECTION = re.compile(
    r'<AbstractText(?: Label="([^"<&\t\n\r]*)")?(?: NlmCategory="(\w+)")?>'
    r"([^<]*)</AbstractText>"
)
_INLINE = re.compile(r"<(i|b|u|sup|sub)>([^<]*)</\1>")
_TAG_IN_VALUE = re.compile(r'="[^"]*<')
_COPYRIGHT = re.compile(r"<CopyrightInformation>([^<]*)</CopyrightInformation>\s*$")
_IDENTIFIER = re.compile(r'<ArticleId IdType="(\w+)">([^<]*)</ArticleId>')
_LOCATION = re.compile(r'<ELocationID EIdType="(\w+)" ValidYN="([YN])">([^<]*)</ELocationID>')
# A heading cut before its end tags: what begins each part, and what the last one is.
_DESCRIPTOR = re.compile(
    r'\s*<MeshHeading>\s*<DescriptorName UI="(\w+)" MajorTopicYN="([YN])">([^<]*)'
)
_QUALIFIER = re.compile(r'(\w+)Name>\s*<QualifierName UI="(\w+)" MajorTopicYN="([YN])">([^<]*)')
_LAST = re.compile(r"(\w+)Name>\s*")
_KEYWORD = re.compile(r'<Keyword MajorTopicYN="([YN])">([^<]*)</Keyword>')


def is_plain(piece: bytes) -> bool:
    """Tell whether a piece of a file has no comment, CDATA section or control character.

    NumPy takes a quarter of the time of ``in``, which stops at each of a file's ``<``.
    """
    codes = np.frombuffer(piece, np.uint8)
    second = codes[1:]
    if np.any((codes[:-1] == ord("<")) & ((second == ord("!")) | (second == ord("?")))):
        return False
    controls = np.count_nonzero(codes < 32) - np.count_nonzero(codes == ord("\n"))
    return controls == 0 or controls == piece.count(b"\t") + piece.count(b"\r")


def plain_row(citation: bytes) -> Row | None:
    """Return the row of what stands before an :data:`END`, None if it is not of the plain form.

    Args:
        citation: the bytes of one citation without its end tag, out of a piece that
            :func:`is_plain`, and below a root that declares no namespace.
    """
    try:
        return _row(citation.decode())
    except (UnicodeDecodeError, etree.XMLSyntaxError, ValueError):
        return None  # the parser of the whole citation says what is wrong, and where


def _row(text: str) -> Row | None:
    found = _CITATION.fullmatch(text)
    if found is None or "\ufffe" in text or "\uffff" in text:
        return None
    if "&" in text and text.count("&") != len(_ENTITY.findall(text)):
        return None
    (
        attributes,
        version,
        pmid,
        completed,
        revised,
        issn,
        published,
        journal,
        title,
        locations,
        abstract,
        languages,
        types,
        vernacular,
        dates,
        information,
        chemicals,
        supplementary,
        mesh,
        others,
        keywords,
        identifiers,
    ) = found.groups()
    status = _STATUS.match(attributes)
    if status is None:
        return None
    names, uis = _types(types) if types else ([], [])
    issn, journal, abbreviation = _journal(issn + journal)
    year, published, published_text = _published(published)
    nlm_journal, issn_linking = _information(information) if information else (None, None)
    sections, copyright_ = ([], None) if abstract is None else _abstract(abstract)
    words, majors = _keywords(keywords) if keywords else ([], [])
    doi, pmcid = _identifiers(locations, identifiers)
    return {
        "kind": "citation",
        "document": f"pmid:{int(pmid)}",
        "pmid": int(pmid),
        "version": int(version or 1),
        "title": _flat(title, "ArticleTitle"),
        "vernacular_title": _flat(vernacular, "VernacularTitle") or None if vernacular else None,
        "abstract": sections,
        "abstract_copyright": copyright_,
        "other_abstracts": _others(others)[0] if others else [],
        "languages": _languages(languages)[0] if languages else [],
        "journal": journal,
        "journal_abbreviation": abbreviation,
        "issn": issn,
        "issn_linking": issn_linking,
        "nlm_journal": nlm_journal,
        "year": year,
        "published": published,
        "published_text": published_text,
        "electronic": _electronic(dates)[0] if dates else None,
        "completed": _completed(completed)[0] if completed else None,
        "revised": _revised(revised)[0] if revised else None,
        "publication_types": names,
        "publication_type_uis": uis,
        "mesh": _split(mesh, "</MeshHeading>", _headings) if mesh else [],
        "supplementary_mesh": _supplementary(supplementary)[0] if supplementary else [],
        "chemicals": _split(chemicals, "</Chemical>", _chemicals) if chemicals else [],
        "keywords": words,
        "keyword_majors": majors,
        "doi": doi,
        "pmcid": pmcid,
        "status": status[1],
    }


def _read(xml: str, handlers: Handlers, columns: tuple[str, ...]) -> tuple[Any, ...]:
    row = empty_row()
    walk(etree.fromstring(f"<X>{xml}</X>", _PARSER), row, handlers)
    return tuple(row[column] for column in columns)


def _remembered(
    handlers: Handlers, *columns: str, inside: str = "{}"
) -> Callable[[str], tuple[Any, ...]]:
    """Return a function from the XML of some elements to what the handlers make of them."""

    @lru_cache(maxsize=_REMEMBERED)
    def read(xml: str) -> tuple[Any, ...]:
        return _read(inside.format(xml), handlers, columns)

    return read


_journal = _remembered(
    *(ARTICLE, "issn", "journal", "journal_abbreviation"), inside="<Journal>{}</Journal>"
)
_published = _remembered(
    *(ARTICLE, "year", "published", "published_text"),
    inside="<Journal><JournalIssue>{}</JournalIssue></Journal>",
)
_completed = _remembered(MEDLINE_CITATION, "completed")
_revised = _remembered(MEDLINE_CITATION, "revised")
_electronic = _remembered(ARTICLE, "electronic")
_languages = _remembered(ARTICLE, "languages")
_types = _remembered(ARTICLE, "publication_types", "publication_type_uis")
_information = _remembered(MEDLINE_CITATION, "nlm_journal", "issn_linking")
_supplementary = _remembered(MEDLINE_CITATION, "supplementary_mesh")


def _others(xml: str) -> tuple[Any, ...]:
    return _read(xml, MEDLINE_CITATION, ("other_abstracts",))


def _unescaped(text: str) -> str:
    return _ENTITY.sub(lambda found: _ENTITIES[found[0]], text) if "&" in text else text


def _flat(xml: str, name: str) -> str:
    if "<" in xml and "<" in (xml := _without_markup(xml)):
        return flat_text(etree.fromstring(f"<{name}>{xml}</{name}>", _PARSER))
    if ">" in xml:  # of "]]>", which XML forbids
        raise ValueError("a bare >")
    return _unescaped(" ".join(xml.split()))


def _without_markup(xml: str) -> str:
    """Take the inline markup away whose tags are in order, two levels deep."""
    if _TAG_IN_VALUE.search(xml):  # which XML forbids
        return xml
    return _INLINE.sub(r"\2", _INLINE.sub(r"\2", xml))


def _abstract(xml: str) -> tuple[Any, ...]:
    if xml.count("<") > 2 * xml.count("</AbstractText>"):
        xml = _without_markup(xml)
    found = _SECTION.findall(xml)
    copyright_ = _COPYRIGHT.search(xml)
    if 2 * (len(found) + bool(copyright_)) != xml.count("<"):
        xml = f"<Abstract>{xml}</Abstract>"
        return _read(xml, ARTICLE, ("abstract", "abstract_copyright"))
    sections = []
    for label, category, text in found:
        flat = _flat(text, "")
        if flat:
            label = " ".join(label.split()) or None
            sections.append({"label": label, "category": category or None, "text": flat})
    return sections, _flat(copyright_[1], "") or None if copyright_ else None


def _keywords(xml: str) -> tuple[Any, ...]:
    xml = _without_markup(xml)
    found = _KEYWORD.findall(xml)
    if 2 * (len(found) + xml.count("</KeywordList>")) != xml.count("<"):
        return _read(xml, MEDLINE_CITATION, ("keywords", "keyword_majors"))
    known = [(_flat(text, ""), major == "Y") for major, text in found]
    return [text for text, _ in known if text], [major for text, major in known if text]


def _identifiers(locations: str, xml: str) -> tuple[str | None, str | None]:
    listed = _IDENTIFIER.findall(xml)
    placed = _LOCATION.findall(locations) if locations else []
    if 2 * len(listed) != xml.count("<") or 2 * len(placed) != locations.count("<"):
        raise ValueError("an identifier of another form")
    # As everywhere, the first that says something; the publisher's comes after the list's.
    values = {"doi": "", "pmc": ""}
    placed_dois = [("doi", text) for kind, valid, text in placed if (kind, valid) == ("doi", "Y")]
    for kind, text in [*listed, *placed_dois]:
        if kind in values:
            values[kind] = values[kind] or _flat(text, "")
    return values["doi"] or None, values["pmc"] or None


class _Remembered(dict[str, Any]):
    """A table of elements by their XML that fills itself; filling takes a function of the XML."""

    def __init__(self, make: Callable[[str], Any]) -> None:
        self.make = make

    def __missing__(self, xml: str) -> Any:
        value = self.make(xml)
        if len(self) >= _REMEMBERED:
            self.clear()
        self[xml] = value
        return value


def _split(xml: str, end: str, known: _Remembered) -> list[Row]:
    *items, rest = xml.split(end)
    if rest.strip():
        raise ValueError("a list of another form")
    return [known[item] for item in items]


def _heading(xml: str) -> Row:
    first, *rest = xml.split("</")
    found, parts = _descriptor(first), [_qualifier(part) for part in rest]
    forms = [(name, bool(code)) for name, code, _, _ in parts]
    wanted = [*[("Qualifier", True)] * (len(parts) - 1), ("Qualifier", False)]
    wanted[0] = ("Descriptor", len(parts) > 1)
    if found is None or forms != wanted:
        xml = f"<MeshHeadingList>{xml}</MeshHeading></MeshHeadingList>"
        ((heading,),) = _read(xml, MEDLINE_CITATION, ("mesh",))
        return dict(heading)
    ui, major, name = found
    majors = [flag for _, _, flag, _ in parts[:-1]]
    return {
        "ui": ui,
        "name": name,
        "major": major or True in majors,
        "qualifiers": [text for _, _, _, text in parts[:-1]],
        "descriptor_major": major,
        "qualifier_uis": [code for _, code, _, _ in parts[:-1]],
        "qualifier_majors": majors,
    }


@lru_cache(maxsize=_REMEMBERED)
def _descriptor(xml: str) -> tuple[str, bool, str] | None:
    found = _DESCRIPTOR.fullmatch(xml)
    return (found[1], found[2] == "Y", _flat(found[3], "")) if found else None


@lru_cache(maxsize=_REMEMBERED)
def _qualifier(xml: str) -> tuple[str, str, bool, str]:
    """Return the name of the element before, code, flag and text; the last has a name alone."""
    if found := _QUALIFIER.fullmatch(xml):
        return found[1], found[2], found[3] == "Y", _flat(found[4], "")
    found = _LAST.fullmatch(xml)
    return found[1] if found else "", "", False, ""


def _chemical(xml: str) -> Row:
    xml = f"<ChemicalList>{xml}</Chemical></ChemicalList>"
    ((chemical,),) = _read(xml, MEDLINE_CITATION, ("chemicals",))
    return dict(chemical)


_headings = _Remembered(_heading)
_chemicals = _Remembered(_chemical)
