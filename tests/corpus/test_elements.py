"""A file cut into pieces reads as the whole file does, and what is broken anywhere is refused."""

import gzip
import html

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from balign.corpus import elements, parse
from balign.errors import DataError

LIST = '<AuthorList CompleteYN="Y"><Author><LastName>{}</LastName></Author></AuthorList>'
FIXTURES = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80
)

# What XML can hold, in texts as PubMed's: no control characters.
TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn")), min_size=1, max_size=30)
WORDS = TEXT.map(lambda text: " ".join(text.split())).filter(bool)
FLAG = st.sampled_from("YN")
ITEM = st.tuples(WORDS, FLAG)
CITATION = st.fixed_dictionaries(
    {
        "pmid": st.integers(1, 99_999_999),
        "title": WORDS,
        "sections": st.lists(st.tuples(st.none() | WORDS, WORDS), max_size=3),
        "languages": st.lists(st.sampled_from(["eng", "fre"]), max_size=2),
        "mesh": st.lists(st.tuples(ITEM, st.lists(ITEM, max_size=2)), max_size=3),
        "keywords": st.lists(ITEM, max_size=3),
        "doi": st.none() | WORDS,
        "authors": st.none() | WORDS,
    }
)


def escaped(text):
    return html.escape(text, quote=True)


def xml(c):
    """Write a citation as PubMed's XML."""
    sections = "".join(
        "<AbstractText"
        + (f' Label="{escaped(name)}"' if name else "")
        + f">{escaped(text)}</AbstractText>"
        for name, text in c["sections"]
    )
    mesh = "".join(
        f'<MeshHeading><DescriptorName UI="D1" MajorTopicYN="{major}">'
        f"{escaped(name)}</DescriptorName>"
        + "".join(
            f'<QualifierName UI="Q1" MajorTopicYN="{flag}">{escaped(text)}</QualifierName>\n'
            for text, flag in qualifiers
        )
        + "</MeshHeading>"
        for (name, major), qualifiers in c["mesh"]
    )
    keywords = "".join(
        f'<Keyword MajorTopicYN="{flag}">{escaped(text)}</Keyword>' for text, flag in c["keywords"]
    )
    doi = f'<ArticleId IdType="doi">{escaped(c["doi"])}</ArticleId>' if c["doi"] else ""
    authors = LIST.format(escaped(c["authors"])) if c["authors"] else ""
    return f"""<PubmedArticle><MedlineCitation Status="MEDLINE"><PMID>{c["pmid"]}</PMID>
      <Article><ArticleTitle>{escaped(c["title"])}</ArticleTitle><Abstract>{sections}</Abstract>
      {authors}{"".join(f"<Language>{name}</Language>" for name in c["languages"])}</Article>
      <MeshHeadingList>{mesh}</MeshHeadingList><KeywordList>{keywords}</KeywordList>
      </MedlineCitation><PubmedData><History><X/></History><ArticleIdList>{doi}</ArticleIdList>
      </PubmedData></PubmedArticle>
      """


@FIXTURES
@given(st.lists(CITATION, max_size=5), st.integers(50, 4000))
def test_round_trip(read_rows, pubmed_file, citations, block):
    source = pubmed_file(*map(xml, citations))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(elements, "_BLOCK", block)
        rows = list(read_rows(source))
    assert len(rows) == len(citations)
    for row, c in zip(rows, citations, strict=True):
        assert (row["pmid"], row["title"], row["doi"]) == (c["pmid"], c["title"], c["doi"])
        assert row["languages"] == c["languages"]
        assert [(part["label"], part["text"]) for part in row["abstract"]] == c["sections"]
        assert row["keywords"] == [text for text, _ in c["keywords"]]
        assert row["keyword_majors"] == [flag == "Y" for _, flag in c["keywords"]]
        assert len(row["mesh"]) == len(c["mesh"])
        for found, ((name, major), qualifiers) in zip(row["mesh"], c["mesh"], strict=True):
            assert (found["ui"], found["name"]) == ("D1", name)
            assert found["descriptor_major"] == (major == "Y")
            assert found["qualifiers"] == [text for text, _ in qualifiers]
            assert found["qualifier_uis"] == ["Q1"] * len(qualifiers)
            flags = [flag == "Y" for _, flag in qualifiers]
            assert found["qualifier_majors"] == flags
            assert found["major"] == (major == "Y" or any(flags))


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(elements, "_BLOCK", 100)


def test_lines_count_from_the_beginning_of_the_file(read_rows, pubmed_file, citation, small_blocks):
    source = pubmed_file(*map(citation, range(1, 30)), citation(30).replace(">30<", ">thirty<"))
    lines = gzip.decompress(source.read_bytes()).decode().splitlines()
    place = next(n for n, text in enumerate(lines, 1) if ">thirty<" in text) - 2
    with pytest.raises(DataError, match=rf"line {place}, PMID thirty"):
        list(read_rows(source))


@pytest.mark.parametrize("broken", ["<b>", "</b>", "&nbsp;", "<", "a<!-- -- -->b", "<![CDATA[x"])
@pytest.mark.parametrize("place", [1, 15, 30])
def test_broken_markup_is_refused_wherever_it_is(
    read_rows, pubmed_file, citation, small_blocks, broken, place
):
    titles = [broken if number == place else "A title." for number in range(1, 31)]
    source = pubmed_file(*(citation(n, title=t) for n, t in enumerate(titles, 1)))
    lines = gzip.decompress(source.read_bytes()).decode().splitlines()
    line = next(n for n, text in enumerate(lines, 1) if f"<ArticleTitle>{broken}" in text)
    with pytest.raises(DataError) as caught:
        list(read_rows(source))
    named = int(caught.value.where.rpartition(" ")[2])
    assert line <= named <= line + 40


def test_ends_in_comments_and_cdata_lose_nothing_unseen(
    read_rows, pubmed_file, citation, small_blocks
):
    """Either the right rows or an error; here the cut falls inside."""
    for hidden in ("<!-- </PubmedArticle> -->", "<![CDATA[</PubmedArticle>]]>"):
        source = pubmed_file(citation(1, title=f"Title {hidden}"), citation(2))
        with pytest.raises(DataError, match="not well-formed"):
            list(read_rows(source))


@pytest.mark.parametrize(
    "title",
    [
        "<![CDATA[<AuthorList>]]>kept<![CDATA[</AuthorList>]]>",
        "<!-- <AuthorList> -->kept<!-- </AuthorList> -->",
        "<AuthorList/>kept<i></i>",
        "kept<AuthorList><AuthorList></AuthorList></AuthorList>",
    ],
)
def test_what_looks_like_an_unread_element_is_no_loss(
    read_rows, pubmed_file, citation, small_blocks, title
):
    more = LIST.format("X")
    source = pubmed_file(citation(1, title=title, more=more), *(citation(n) for n in (2, 3, 4)))
    rows = list(read_rows(source))
    assert "kept" in rows[0]["title"]
    assert [row["pmid"] for row in rows] == [1, 2, 3, 4]


def test_two_books_authors_do_not_take_the_title_between_them(read_rows, pubmed_file, small_blocks):
    book = """<PubmedBookArticle><BookDocument><PMID>{}</PMID>
      <Book><BookTitle>B</BookTitle>{}</Book><ArticleTitle>Chapter</ArticleTitle>{}</BookDocument></PubmedBookArticle>"""
    authors = LIST.format("X")
    source = pubmed_file(*(book.format(n, authors, authors) for n in range(1, 5)))
    assert [row["title"] for row in read_rows(source)] == ["Chapter"] * 4


def test_an_unread_element_without_end_is_refused(read_rows, pubmed_file, citation, small_blocks):
    cut = LIST.format("X").replace("</AuthorList>", "")
    whole = [citation(n, more=LIST.format("X")) for n in (2, 3)]
    with pytest.raises(DataError, match="AuthorList"):
        list(read_rows(pubmed_file(citation(1, more=cut), *whole)))


@pytest.mark.parametrize("root", ["<PubmedArticleSet/>", "<PubmedArticleSet></PubmedArticleSet >"])
def test_a_file_without_citations(read_rows, tmp_path, root):
    path = tmp_path / "empty.xml"
    path.write_text(root)
    assert list(read_rows(path)) == []


def test_a_file_after_a_file_is_refused(read_rows, pubmed_file, citation, small_blocks):
    source = pubmed_file(*map(citation, range(1, 9)))
    source.write_bytes(source.read_bytes() * 2)
    with pytest.raises(DataError, match="not well-formed"):
        list(read_rows(source))


@pytest.mark.parametrize("encoding", ["iso-8859-1", "utf-16"])
def test_another_encoding_is_refused(read_rows, tmp_path, citation, encoding):
    path = tmp_path / "own.xml"
    text = f'<?xml version="1.0" encoding="{encoding}"?><PubmedArticleSet>{citation(1, title="é")}'
    path.write_bytes((text + "</PubmedArticleSet>").encode(encoding))
    with pytest.raises(DataError, match="not UTF-8"):
        list(read_rows(path))


def test_a_namespace_of_the_root_holds_in_every_piece(
    read_rows, pubmed_file, citation, small_blocks
):
    math = "<m:math><m:mi> x </m:mi></m:math>"
    text = "".join(citation(n, title=math) for n in range(1, 9))
    source = pubmed_file(text)
    plain = gzip.decompress(source.read_bytes()).decode()
    opened = '<PubmedArticleSet xmlns:m="http://www.w3.org/1998/Math/MathML">'
    source.write_bytes(gzip.compress(plain.replace("<PubmedArticleSet>", opened).encode()))
    assert [row["title"] for row in read_rows(source)] == ["x"] * 8


MARKED = WORDS.map(escaped) | st.sampled_from(
    [
        *("E. <i>coli</i>", "<i>a<sup>2</sup></i> b", "<b><i><u>x</u></i></b>", "<i>a", "a</i>"),
        *("<i><b>a</i></b>", "&#955;", "&nbsp;", "a > b", "a ]]> b", "<!-- b -->a", "<?p b?>a"),
        *("<![CDATA[<i>]]>", "\u00a0a \n b", "<AuthorList>a</AuthorList>", "", "\ufffe", "\x01"),
    ]
)
ODD = [
    ("<PMID>", "<PMID >"),
    ('<Keyword MajorTopicYN="', '<Keyword Other="1" MajorTopicYN="'),
    ('<DescriptorName UI="D1" MajorTopicYN="Y">', '<DescriptorName MajorTopicYN="Y" UI="D1">'),
    ('<DescriptorName UI="D1" MajorTopicYN="N">', '<DescriptorName MajorTopicYN="N" UI="D1">'),
    ('UI="D1" MajorTopicYN="N">', 'UI="D1" MajorTopicYN="N" Type="Geographic">'),
    ("</ArticleIdList>", "</ArticleIdList><?nihms ?>"),
    ("</ArticleIdList>", "</ArticleIdList><?nihms ?><?nihms ?>"),
    ("<Keyword ", "<?nihms ?><Keyword "),
    ("</QualifierName>\n", "\n"),
    ("</DescriptorName>", "</QualifierName>"),
    ("</MeshHeading>", "</MeshHeading>\n"),
    ("<History><X/></History>", ""),
    ("<History><X/></History>", "<History><X></History>"),
    ("<MeshHeadingList></MeshHeadingList>", "<MeshHeadingList/>"),
    ("</MedlineCitation>", "<GeneralNote>a</GeneralNote></MedlineCitation>"),
    ("<Abstract></Abstract>", ""),
    (
        "<Article>",
        "<Article><Journal><JournalIssue><PubDate><Year>2001</Year></PubDate>"
        "</JournalIssue><Title>T</Title></Journal>",
    ),
    ("<Article>", "<Article>"),
    ('Status="MEDLINE"', "Status='MEDLINE'"),
    (
        "</PubmedData>",
        "<ReferenceList><ReferenceList></ReferenceList></ReferenceList></PubmedData>",
    ),
]


@FIXTURES
@given(
    st.lists(CITATION, max_size=4),
    st.lists(st.sampled_from(ODD), max_size=6),
    st.lists(st.tuples(st.sampled_from(["title", "text", "label"]), MARKED), max_size=2),
)
def test_gzip_and_plain_xml_give_the_same_rows(
    read_rows, pubmed_file, tmp_path, citations, odd, marked
):
    """Of gzip most citations are read without an XML parser, of plain XML none.

    What the parser of the whole refuses must be refused, except inside what nobody reads.
    """
    text = "".join(map(xml, citations))
    for old, new in [("<Article>", ODD[-4][1]), *odd]:
        text = text.replace(old, new)
    for place, piece in marked:
        if place == "title":
            text = text.replace("<ArticleTitle>", f"<ArticleTitle>{piece}", 1)
        elif place == "text":
            text = text.replace("</AbstractText>", f"{piece}</AbstractText>", 1)
        else:
            text = text.replace(' Label="', f' Label="{piece}', 1)
    text = text.replace("</AbstractText>", "</AbstractText>\n")
    compressed = pubmed_file(text)
    whole = tmp_path / "whole.xml"
    whole.write_bytes(gzip.decompress(compressed.read_bytes()))

    def rows(path):
        try:
            return list(read_rows(path))
        except DataError:
            return None

    expected = rows(whole)
    if expected is None and "<History><X></History>" in text:
        return
    assert rows(compressed) == expected


@pytest.mark.parametrize("title", ["A title.", "<i>E. coli</i> &amp; <b>x<sup>2</sup></b>"])
def test_the_plain_form_is_read_without_the_parser(
    read_rows, pubmed_file, citation, monkeypatch, title
):
    """Without this, the test above would compare the parser with itself."""
    source = pubmed_file(citation(1, title=title), citation(2))
    whole = source.with_suffix("")
    whole.write_bytes(gzip.decompress(source.read_bytes()))
    expected = read_rows(whole)
    monkeypatch.setattr(parse, "citation_row", None)
    assert read_rows(source) == expected


@pytest.mark.parametrize("place", ["</ArticleIdList>", "<PubmedData>", "</Language>"])
def test_pubmeds_processing_instructions(read_rows, pubmed_file, citation, place):
    source = pubmed_file(*(citation(n).replace(place, f"{place}\n<?pmcsd ?>") for n in (1, 2)))
    assert read_rows(source) == read_rows(pubmed_file(citation(1), citation(2), name="without"))


def test_rows_of_both_ways_keep_their_order(read_rows, pubmed_file, citation):
    odd = [citation(n, title="A <sup><b><i>title</i></b></sup>") for n in (2, 5)]
    odd = [text.replace("<PMID ", "<PMID  ") for text in odd]
    source = pubmed_file(citation(1), odd[0], citation(3), citation(4), odd[1], citation(6))
    rows = read_rows(source)
    assert [row["pmid"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row["title"] for row in rows[1::3]] == ["A title"] * 2
