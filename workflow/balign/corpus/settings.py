"""Settings of the stage ``corpus``."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from balign.settings import Settings

_FILES = r"^\s*(all|none|\d{1,5}(-\d{1,5})?(\s*,\s*\d{1,5}(-\d{1,5})?)*)\s*$"


CitationColumn = Literal[
    "vernacular_title",
    "abstract_copyright",
    "other_abstracts",
    "journal",
    "journal_abbreviation",
    "issn",
    "issn_linking",
    "nlm_journal",
    "published_text",
    "electronic",
    "completed",
    "revised",
    "publication_type_uis",
    "supplementary_mesh",
    "chemicals",
    "keywords",
    "keyword_majors",
    "doi",
    "pmcid",
    "status",
]
"""Columns of :data:`balign.corpus.schema.PARSED_SCHEMA` that no later stage needs."""


class PubmedSettings(Settings):
    """Files of PubMed that are downloaded from the publisher."""

    model_config = ConfigDict(coerce_numbers_to_str=True)  # `updates: 1275` is one file

    url: str = Field(
        "https://ftp.ncbi.nlm.nih.gov/pubmed",
        description="Folder with baseline/ and updatefiles/, each file beside its .md5.",
    )
    year: int = Field(26, ge=0, le=99, description="Two digits of the baseline's year.")
    baseline: str = Field(
        "all", pattern=_FILES, description="Baseline files: `all`, `none`, or numbers: `1-20, 33`."
    )
    updates: str = Field(
        "none",
        pattern=_FILES,
        description="Update files: `all`, `none`, or numbers; they go on counting where the "
        "baseline ends.",
    )
    sample: int | None = Field(
        None, ge=1, description="Draw so many of the baseline files by seed; null takes all."
    )
    seed: int = Field(13, description="Seed of the draw.")

    @field_validator("baseline", "updates")
    @classmethod
    def _in_order(cls, text: str) -> str:
        for part in text.split(","):
            first, dash, last = part.partition("-")
            if dash and int(first) > int(last):
                raise ValueError(f"the range {part.strip()} ends before it begins")
        return text.strip()


class SelectSettings(Settings):
    """Which citations are split into sentences; every reason to drop one is counted."""

    languages: tuple[str, ...] | None = Field(
        ("eng",), description="Languages of the article (MARC codes) that are kept; null keeps all."
    )
    first_year: int | None = Field(
        None,
        description="First year of publication; null for any. PubMed's files are not by year: all "
        "that are wanted are read, and the citations then chosen.",
    )
    last_year: int | None = Field(None, description="Last year of publication; null for any.")
    publication_types: tuple[str, ...] | None = Field(
        None, description="Keep citations with one of these publication types; null keeps all."
    )
    exclude_publication_types: tuple[str, ...] = Field(
        (), description="Drop citations with one of these, such as `Retracted Publication`."
    )
    require_abstract: bool = Field(
        True, description="Drop citations without abstract; else their titles are sentences."
    )
    min_characters: int = Field(50, ge=0, description="Shortest abstract, in characters.")
    deduplicate: bool = Field(
        True,
        description="Of citations with the same abstract, letters and digits compared, keep the "
        "one with the lowest PMID.",
    )
    guard: bool = Field(
        True,
        description="Leakage guard: drop citations of the evaluations' test sets, and copies of "
        "their abstracts.",
    )


class TextSettings(Settings):
    """A corpus other than PubMed."""

    name: str = Field(
        ...,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$",
        description="Name of the corpus and its files.",
    )
    format: Literal["definitions", "text", "jsonl", "pubtator"] = Field(
        ...,
        description="`definitions`: of the graph's concepts; `text`: *.txt, a paragraph a "
        "document; `jsonl`: *.jsonl, objects with `text`, or `title` and `abstract`, and perhaps "
        "`id`; "
        "`pubtator`: PubTator files.",
    )
    path: str | None = Field(None, description="File or folder; null for definitions.")
    source: str | None = Field(
        None, description="Instead of `path`: a PubTator corpus in the source registry, by name."
    )
    language: str = Field("eng", description="Language of the documents (MARC code).")

    @model_validator(mode="after")
    def _one_place(self) -> TextSettings:
        if self.format == "definitions":
            if self.path or self.source:
                raise ValueError("definitions come from the graph: leave out `path` and `source`")
        elif self.source and self.format != "pubtator":
            raise ValueError("`source` is for the format `pubtator`; give `path`")
        elif bool(self.path) == bool(self.source):
            raise ValueError("give `path`" + (" or `source`" if self.format == "pubtator" else ""))
        return self


class CorpusSettings(Settings):
    """Which citations are read, and which of them are used as text."""

    sources: tuple[str, ...] = Field(
        ("pubmed-sample",), description="Sets of PubMed XML files in the source registry, by name."
    )
    folder: str | None = Field(
        None, description="Folder with your own PubMed XML files (*.xml.gz); null for none."
    )
    pubmed: PubmedSettings | None = Field(
        None, description="Files of PubMed to download; null for none."
    )
    columns: tuple[CitationColumn, ...] | None = Field(
        None,
        description="Columns of PubMed's citations to read beside those that later stages need "
        "(identity, title, abstract, languages, year, publication types, MeSH); the others are "
        "null. null reads all, `[]` no more.",
    )
    texts: tuple[TextSettings, ...] = Field(
        (), description="Corpora other than PubMed: ontology definitions, text, JSONL, PubTator."
    )
    select: SelectSettings = Field(
        SelectSettings(), description="Which citations are split into sentences."
    )

    @field_validator("texts")
    @classmethod
    def _own_names(cls, texts: tuple[TextSettings, ...]) -> tuple[TextSettings, ...]:
        names = [text.name for text in texts]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two corpora are called {twice[0]}")
        return texts
