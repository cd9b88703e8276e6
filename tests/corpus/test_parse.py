"""Hand-written XML in, rows out; broken and poisoned files refused."""

import gzip
import html
from pathlib import Path
from typing import get_args

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from balign.corpus.parse import corpus_parse
from balign.corpus.schema import ALL_COLUMNS, NEEDED_COLUMNS, PARSED_SCHEMA
from balign.corpus.settings import CitationColumn
from balign.errors import ConfigError, DataError

FULL = Path(__file__).with_name("citation.xml").read_text(encoding="utf-8")

BARE = """
  <PubmedArticle><MedlineCitation><PMID>7</PMID><Article><ArticleTitle/></Article></MedlineCitation>
  </PubmedArticle>"""

BOOK = """
  <PubmedBookArticle>
    <BookDocument>
      <PMID Version="1">20301295</PMID>
      <ArticleIdList><ArticleId IdType="bookaccession">NBK1116</ArticleId></ArticleIdList>
      <Book><BookTitle>GeneReviews</BookTitle><PubDate><Year>1993</Year></PubDate></Book>
      <ArticleTitle>Marfan Syndrome</ArticleTitle>
      <Language>eng</Language>
      <PublicationType UI="D016454">Review</PublicationType>
      <Abstract><AbstractText Label="DIAGNOSIS">By criteria.</AbstractText></Abstract>
      <KeywordList Owner="NLM"><Keyword MajorTopicYN="N">FBN1</Keyword></KeywordList>
      <DateRevised><Year>2024</Year><Month>2</Month><Day>1</Day></DateRevised>
    </BookDocument>
    <PubmedBookData><ArticleIdList><ArticleId IdType="doi">10.1000/book</ArticleId></ArticleIdList>
    </PubmedBookData>
  </PubmedBookArticle>"""

REFERENCE = """<Reference><Citation>Someone else.</Citation><ArticleIdList>
  <ArticleId IdType="pubmed">9</ArticleId><ArticleId IdType="doi">10.1/cited</ArticleId>
  <ArticleId IdType="pmc">PMC1</ArticleId></ArticleIdList></Reference>"""
DOI_OF_PUBLISHER = '<ELocationID EIdType="doi" ValidYN="Y">10.1/publisher</ELocationID>'

DELETIONS = """
  <DeleteCitation>
    <PMID Version="1">31688362</PMID>
    <PMID>31764432</PMID>
  </DeleteCitation>"""


def expected(**values):
    """Return a citation's row: these values, and what a citation without them has."""
    empty = {
        field.name: [] if str(field.type).startswith("list") else None for field in PARSED_SCHEMA
    }
    document = f"pmid:{values['pmid']}"
    return {**empty, "kind": "citation", "document": document, "version": 1, "title": "", **values}


def test_every_field_of_a_citation(read_rows, pubmed_file):
    (row,) = read_rows(pubmed_file(FULL))
    assert row == expected(
        pmid=30271887,
        version=2,
        title="[Effects of CO2 on E. coli in β-cells & mice].",
        vernacular_title="Effets du CO2.",
        abstract=[
            {"label": "BACKGROUND", "category": "BACKGROUND", "text": "First section, 10-9 M < 5."},
            {"label": None, "category": None, "text": "With R2 = 0.74."},
        ],
        abstract_copyright="© 1979.",
        other_abstracts=[
            {
                "type": "Publisher",
                "language": "fre",
                "sections": [{"label": "BUT", "category": None, "text": "Une autre."}],
            }
        ],
        languages=["fre", "eng"],
        journal="Journal of Trials",
        journal_abbreviation="J Trials",
        issn="0960-9822",
        issn_linking="0960-9823",
        nlm_journal="9107782",
        year=1978,
        published="1978-11",
        published_text="1978 Nov-1979 Jan",
        electronic="1978-10-03",
        completed="2000-04-25",
        revised="2021-06-07",
        publication_types=["Journal Article", "Randomized Controlled Trial"],
        publication_type_uis=["D016428", "D016449"],
        mesh=[
            {
                "ui": "D006801",
                "name": "Humans",
                "major": False,
                "qualifiers": [],
                "descriptor_major": False,
                "qualifier_uis": [],
                "qualifier_majors": [],
            },
            {
                "ui": "D003042",
                "name": "Cocaine",
                "major": True,
                "qualifiers": ["metabolism", "physiology"],
                "descriptor_major": False,
                "qualifier_uis": ["Q000378", "Q000502"],
                "qualifier_majors": [True, False],
            },
            {
                "ui": "D005060",
                "name": "Europe",
                "major": True,
                "qualifiers": [],
                "descriptor_major": True,
                "qualifier_uis": [],
                "qualifier_majors": [],
            },
        ],
        supplementary_mesh=[{"ui": "C538288", "name": "Alpha-syndrome", "type": "Disease"}],
        chemicals=[
            {"ui": "D000906", "name": "Antibodies", "registry": None},
            {"ui": "D000431", "name": "Ethanol", "registry": "3K9958V90M"},
        ],
        keywords=["E. coli", "gas", "space"],
        keyword_majors=[False, True, False],
        doi="10.1000/own",
        status="PubMed-not-MEDLINE",
    )


def test_missing_pieces_are_null_or_empty(read_rows, pubmed_file):
    (row,) = read_rows(pubmed_file(BARE))
    assert row == expected(pmid=7)


def test_a_book_chapter_is_a_citation(read_rows, pubmed_file):
    (row,) = read_rows(pubmed_file(BOOK))
    assert row == expected(
        pmid=20301295,
        title="Marfan Syndrome",
        abstract=[{"label": "DIAGNOSIS", "category": None, "text": "By criteria."}],
        languages=["eng"],
        journal="GeneReviews",
        year=1993,
        published="1993",
        revised="2024-02-01",
        publication_types=["Review"],
        publication_type_uis=["D016454"],
        keywords=["FBN1"],
        keyword_majors=[False],
        doi="10.1000/book",
    )


def test_a_whole_book_is_called_by_its_title(read_rows, pubmed_file):
    whole = BOOK.replace("<ArticleTitle>Marfan Syndrome</ArticleTitle>", "")
    (row,) = read_rows(pubmed_file(whole, root="PubmedBookArticleSet"))
    assert row["title"] == row["journal"] == "GeneReviews"


@pytest.mark.parametrize(
    ("locations", "listed", "doi", "pmcid"),
    [
        ("", "", None, None),
        (DOI_OF_PUBLISHER, "", "10.1/publisher", None),
        (DOI_OF_PUBLISHER.replace('"Y"', '"N"'), "", None, None),
        (DOI_OF_PUBLISHER, '<ArticleId IdType="doi">10.1/own</ArticleId>', "10.1/own", None),
        (DOI_OF_PUBLISHER, '<ArticleId IdType="doi"/>', "10.1/publisher", None),
        ("", '<ArticleId IdType="pmc">PMC5</ArticleId>', None, "PMC5"),
    ],
)
def test_identifiers_are_never_those_of_a_reference(
    read_rows, pubmed_file, locations, listed, doi, pmcid
):
    """References come before and after the citation's own list, and one holds another."""
    references = (
        f"<ReferenceList>{REFERENCE}<ReferenceList>{REFERENCE}</ReferenceList></ReferenceList>"
    )
    text = f"""<PubmedArticle><MedlineCitation><PMID>7</PMID><Article>{locations}</Article>
      <CommentsCorrectionsList><CommentsCorrections><PMID>8</PMID></CommentsCorrections>
      </CommentsCorrectionsList></MedlineCitation>
      <PubmedData>{references}<ArticleIdList>{listed}</ArticleIdList>{references}</PubmedData>
      </PubmedArticle>"""
    (row,) = read_rows(pubmed_file(text))
    assert (row["pmid"], row["doi"], row["pmcid"]) == (7, doi, pmcid)


def test_file_with_citations_books_and_deletions(pubmed_file, tmp_path):
    output = tmp_path / "parsed" / "pubmed24n0001.parquet"
    corpus_parse(pubmed_file(FULL, BARE, BOOK, DELETIONS), output)
    table = pq.read_table(output)
    assert table["kind"].to_pylist() == ["citation"] * 3 + ["deletion"] * 2
    assert table["pmid"].to_pylist() == [30271887, 7, 20301295, 31688362, 31764432]
    assert table["version"].to_pylist() == [2, 1, 1, 1, None]
    assert table["title"].to_pylist()[3:] == [None, None]


def test_same_input_gives_the_same_bytes(pubmed_file, tmp_path):
    source = pubmed_file(FULL, BARE, DELETIONS)
    for name in ("a", "b"):
        corpus_parse(source, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_rows_are_written_in_several_row_groups(pubmed_file, citation, tmp_path):
    corpus_parse(pubmed_file(*(citation(n) for n in range(1, 4501))), tmp_path / "out.parquet")
    file = pq.ParquetFile(tmp_path / "out.parquet")
    assert file.num_row_groups == 3
    assert file.read(["pmid"])["pmid"].to_pylist() == list(range(1, 4501))


def test_plain_xml_is_read_too(read_rows, pubmed_file, tmp_path):
    plain = tmp_path / "own.xml"
    plain.write_bytes(gzip.decompress(pubmed_file(BARE).read_bytes()))
    assert [row["pmid"] for row in read_rows(plain)] == [7]


@pytest.mark.parametrize(
    ("date", "year", "published", "text"),
    [
        ("<Year>2021</Year>", 2021, "2021", None),
        ("<Year>2021</Year><Month>Feb</Month>", 2021, "2021-02", None),
        ("<Year>2021</Year><Month>9</Month><Day>5</Day>", 2021, "2021-09-05", None),
        ("<Year>2021</Year><Month>13</Month><Day>5</Day>", 2021, "2021", None),
        ("<Year>2021</Year><Season>Winter</Season>", 2021, "2021", "2021 Winter"),
        ("<MedlineDate>1977-1978</MedlineDate>", 1977, "1977", "1977-1978"),
        ("<MedlineDate>Winter 1979</MedlineDate>", 1979, "1979", "Winter 1979"),
        ("<MedlineDate>1998 Dec 12-19</MedlineDate>", 1998, "1998-12-12", "1998 Dec 12-19"),
        ("<MedlineDate>2020 Apr-Jun 01</MedlineDate>", 2020, "2020-04", "2020 Apr-Jun 01"),
        ("<MedlineDate>1979 Fall-Winter</MedlineDate>", 1979, "1979", "1979 Fall-Winter"),
        ("<MedlineDate>Spring-Summer</MedlineDate>", None, None, "Spring-Summer"),
        ("<MedlineDate>No. 12345</MedlineDate>", None, None, "No. 12345"),
    ],
)
def test_publication_dates(read_rows, pubmed_file, citation, date, year, published, text):
    (row,) = read_rows(pubmed_file(citation(1).replace("<Year>1979</Year>", date)))
    assert (row["year"], row["published"], row["published_text"]) == (year, published, text)


@settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60
)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="￾￿")),
        min_size=1,
        max_size=5,
    )
)
def test_text_is_kept_to_the_character(read_rows, pubmed_file, citation, pieces):
    marked = "".join(f"<i>{html.escape(piece)}</i> \n" for piece in pieces)
    (row,) = read_rows(pubmed_file(citation(1, title=marked)))
    assert row["title"] == " ".join(" ".join(pieces).split())


def refused(source, tmp_path, *parts):
    """Check that a file is refused, that the message has ``parts`` and that nothing is left."""
    with pytest.raises(DataError) as caught:
        corpus_parse(source, tmp_path / "out" / "a.parquet")
    for part in (source.name, *parts):
        assert part in str(caught.value)
    assert list((tmp_path / "out").iterdir()) == []
    return str(caught.value)


def doctype(declarations):
    return f'<?xml version="1.0"?>\n<!DOCTYPE PubmedArticleSet [{declarations}]>\n'


LAUGHS = '<!ENTITY a0 "ha">' + "".join(
    f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10)
)


@pytest.mark.parametrize(
    ("declarations", "title"),
    [
        (LAUGHS, "&a9;"),
        (LAUGHS, "unused"),
        ('<!ENTITY a "one">', "&a;"),
        ('<!ENTITY a SYSTEM "file://{secret}">', "x &a; y"),
        ('<!ENTITY a SYSTEM "http://127.0.0.1:9/a">', "x &a; y"),
        ('<!ENTITY % a SYSTEM "file://{secret}"> %a;', "x"),
    ],
)
def test_entities_are_refused(pubmed_file, citation, tmp_path, declarations, title):
    secret = tmp_path / "secret.txt"
    secret.write_text("TOPSECRET")
    head = doctype(declarations.replace("{secret}", str(secret)))
    source = pubmed_file(citation(1), citation(2, title=title), head=head)
    assert "TOPSECRET" not in refused(source, tmp_path)


@pytest.mark.parametrize("scheme", ["http://127.0.0.1:9/a.dtd", "file://{secret}"])
def test_the_dtd_is_not_read(read_rows, pubmed_file, citation, tmp_path, scheme):
    secret = tmp_path / "secret.dtd"
    secret.write_text("no DTD")
    name = scheme.replace("{secret}", str(secret))
    head = f'<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD" "{name}">\n'
    assert len(list(read_rows(pubmed_file(citation(1), head=head)))) == 1


def test_an_unknown_entity_is_an_error_with_its_line(pubmed_file, citation, tmp_path):
    source = pubmed_file(citation(1, title="a&nbsp;b"))
    lines = gzip.decompress(source.read_bytes()).decode().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if "&nbsp;" in text)
    refused(source, tmp_path, "nbsp", f".xml.gz, line {line}")


def test_every_truncation_is_noticed(read_rows, pubmed_file, citation, tmp_path):
    whole = pubmed_file(citation(1), DELETIONS).read_bytes()
    source = tmp_path / "cut.xml.gz"
    for length in range(len(whole)):
        source.write_bytes(whole[:length])
        with pytest.raises(DataError):
            list(read_rows(source))


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_a_damaged_file_gives_rows_or_a_data_error(pubmed_file, tmp_path, data):
    text = bytearray(gzip.decompress(pubmed_file(FULL, BOOK, DELETIONS).read_bytes()))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(text) - 1))
        text[place : place + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=4))
    source = tmp_path / "damaged.xml"
    source.write_bytes(text)
    try:
        corpus_parse(source, tmp_path / "out.parquet")
    except DataError as error:
        assert "damaged.xml" in str(error)


def test_damaged_gzip(pubmed_file, tmp_path):
    source = pubmed_file(FULL)
    whole = source.read_bytes()
    source.write_bytes(whole[:-8] + b"\0\0\0\0" + whole[-4:])
    refused(source, tmp_path, "not a whole gzip file", "byte")
    source.write_bytes(b"<html>Not found</html>")
    refused(source, tmp_path, "not a whole gzip file")


def test_truncated_xml_in_a_whole_gzip(pubmed_file, tmp_path):
    source = pubmed_file(FULL)
    text = gzip.decompress(source.read_bytes())
    source.write_bytes(gzip.compress(text[: len(text) // 2]))
    refused(source, tmp_path, "not well-formed XML", "line")


def test_other_xml_is_refused(pubmed_file, tmp_path):
    source = pubmed_file("<head/>", head="", root="html")
    refused(source, tmp_path, "<html>", "PubmedArticleSet")


def test_an_unknown_element_is_not_skipped(pubmed_file, citation, tmp_path):
    refused(pubmed_file(citation(1), "<Pubmed2Article/>", citation(2)), tmp_path, "Pubmed2Article")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('<PMID Version="1">5</PMID>', "", "no <PMID> of its own"),
        ('<PMID Version="1">5</PMID>', "<PMID>five</PMID>", "'five' is not a number"),
        ('Version="1"', 'Version="b"', "Version 'b' is not a number"),
        ("MedlineCitation", "Medline", "no <PMID>"),
    ],
)
def test_a_citation_without_identity_is_refused(pubmed_file, citation, tmp_path, old, new, message):
    refused(pubmed_file(citation(5).replace(old, new)), tmp_path, message, "line")


def test_a_citation_without_article_is_refused(pubmed_file, tmp_path):
    source = pubmed_file(BARE.replace("<Article><ArticleTitle/></Article>", ""))
    refused(source, tmp_path, "neither <Article>", "line", "PMID 7")


def test_no_such_file(tmp_path):
    refused(tmp_path / "none.xml.gz", tmp_path, "No such file")


def test_columns_that_are_not_wanted_are_null(pubmed_file, tmp_path):
    source = pubmed_file(FULL, BARE, BOOK, DELETIONS)
    corpus_parse(source, tmp_path / "all")
    corpus_parse(source, tmp_path / "some", ["doi", "chemicals"])
    every, some = (pq.read_table(tmp_path / name) for name in ("all", "some"))
    assert some.schema == PARSED_SCHEMA
    for name in PARSED_SCHEMA.names:
        if name in {*NEEDED_COLUMNS, "doi", "chemicals"}:
            assert some[name].equals(every[name])
        else:
            assert some[name].null_count == len(some)


def test_an_unknown_column_is_refused(pubmed_file, tmp_path):
    with pytest.raises(ConfigError, match="'dio'"):
        corpus_parse(pubmed_file(BARE), tmp_path / "out.parquet", ["dio"])
    assert not (tmp_path / "out.parquet").exists()


def test_the_setting_knows_the_columns():
    assert set(get_args(CitationColumn)) == ALL_COLUMNS - NEEDED_COLUMNS
