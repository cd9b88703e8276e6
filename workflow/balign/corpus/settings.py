"""Settings of the stage ``corpus``."""

from __future__ import annotations

from pydantic import Field, model_validator

from balign.settings import Settings


class BaselineSettings(Settings):
    """A range of files of PubMed's yearly baseline, downloaded from the publisher."""

    url: str = Field(
        "https://ftp.ncbi.nlm.nih.gov/pubmed/baseline",
        description="Folder of the files and their .md5 sidecars.",
    )
    year: int = Field(26, ge=0, le=99, description="Two digits of the baseline's year.")
    first: int = Field(..., ge=1, le=9999, description="Number of the first file.")
    last: int = Field(..., ge=1, le=9999, description="Number of the last file.")

    @model_validator(mode="after")
    def _in_order(self) -> BaselineSettings:
        if self.first > self.last:
            raise ValueError("`first` must not be greater than `last`")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the files without their ending, such as ``pubmed26n0001``."""
        numbers = range(self.first, self.last + 1)
        return tuple(f"pubmed{self.year:02d}n{number:04d}" for number in numbers)


class CorpusSettings(Settings):
    """Which citations are read."""

    sources: tuple[str, ...] = Field(
        ("pubmed-sample",), description="Sets of PubMed XML files in the source registry, by name."
    )
    folder: str | None = Field(
        None, description="Folder with your own PubMed XML files (*.xml.gz); null for none."
    )
    baseline: BaselineSettings | None = Field(
        None, description="Files of PubMed's baseline to download; null for none."
    )
    languages: tuple[str, ...] | None = Field(
        ("eng",), description="Languages whose abstracts are split; null keeps all."
    )
    min_characters: int = Field(
        50, ge=0, description="Shortest abstract, in characters, that is split into sentences."
    )
