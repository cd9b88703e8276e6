import gzip

import pytest

HEAD = """<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle, 1st January 2019//EN"
 "https://dtd.nlm.nih.gov/ncbi/pubmed/out/pubmed_190101.dtd">
"""

ABSTRACT = "The liver was enlarged in each of the nine mice. Nothing else was found in them."


def _citation(pmid, version=1, title="A title.", abstract=ABSTRACT, language="eng", more=""):
    """Return a plain citation; ``abstract`` may hold markup, None leaves it out."""
    text = (
        "" if abstract is None else f"<Abstract><AbstractText>{abstract}</AbstractText></Abstract>"
    )
    return f"""
  <PubmedArticle>
    <MedlineCitation Status="MEDLINE" Owner="NLM">
      <PMID Version="{version}">{pmid}</PMID>
      <Article PubModel="Print">
        <Journal>
          <JournalIssue><PubDate><Year>1979</Year></PubDate></JournalIssue>
          <Title>The Journal</Title></Journal>
        <ArticleTitle>{title}</ArticleTitle>{text}
        <Language>{language}</Language>
      </Article>{more}
    </MedlineCitation>
    <PubmedData>
      <ArticleIdList><ArticleId IdType="pubmed">{pmid}</ArticleId></ArticleIdList>
    </PubmedData>
  </PubmedArticle>"""


@pytest.fixture(scope="session")
def citation():
    return _citation


@pytest.fixture
def pubmed_file(tmp_path):
    """Write citations as a PubMed file and return its path."""

    def write(*citations, name="pubmed24n0001", head=HEAD, root="PubmedArticleSet"):
        path = tmp_path / f"{name}.xml.gz"
        text = f"{head}<{root}>{''.join(citations)}\n</{root}>\n"
        path.write_bytes(gzip.compress(text.encode(), mtime=0))
        return path

    return write
