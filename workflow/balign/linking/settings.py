"""Settings of the stage ``linking``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from balign.settings import Settings


class BackendSettings(Settings):
    """What every backend has."""

    min_score: float = Field(
        0.0,
        ge=0,
        le=1,
        description="A mention whose best concept scores less is NIL: counted, not written.",
    )


class DictionarySettings(BackendSettings):
    """The built-in dictionary of the graph's names."""

    min_characters: int = Field(
        3, ge=1, description="Shortest name, in characters, that the dictionary holds."
    )
    max_tokens: int = Field(
        16, ge=1, description="Longest name, in tokens, that the dictionary holds."
    )
    stop_words: str = Field(
        "resources/stop_words.txt",
        description="File of everyday words, one a line, that are never linked.",
    )
    symbols: bool = Field(
        True,
        description="Symbols such as `Cdk4` match as written only; capital abbreviations always "
        "do.",
    )
    hyphens: bool = Field(
        True, description="`IL-2`, `IL 2` and `IL2` are one name; so are `T-cell` and `T cell`."
    )
    plurals: bool = Field(
        True, description="A plural is its singular, `Crohn's` and `Crohns` are `Crohn`."
    )
    greek: bool = Field(
        True, description="`α` is `alpha`; `a-` stands for `alpha-` in names that have it."
    )
    inverted: bool = Field(True, description="`Syndrome, Marfan` is `Marfan Syndrome` too.")
    ambiguity: tuple[Literal["type_prior", "preferred", "rank"], ...] = Field(
        ("type_prior", "preferred", "rank"),
        description="What decides between the concepts of one name, in this order: the semantic "
        "type, whose preferred name it is, its rank among the concept's names.",
    )
    type_prior: tuple[str, ...] = Field(
        ("MESH_TREE:",),
        max_length=200,
        description="Beginnings of semantic types, best first; a concept of none comes last.",
    )
    abbreviations: bool = Field(
        True,
        description="An abbreviation that a text defines (Schwartz and Hearst) has the concept of "
        "its long form, or none.",
    )


class ScispacySettings(BackendSettings):
    """scispaCy with a knowledge base made of the graph."""

    min_score: float = Field(
        0.7,
        ge=0,
        le=1,
        description="A mention whose best concept scores less is NIL; scispaCy's own is 0.7.",
    )
    pipeline: str | None = Field(
        None,
        description="spaCy pipeline that finds the spans: an installed package such as "
        "`en_core_sci_sm`, or a folder; null takes the dictionary's spans.",
    )
    candidates: int = Field(30, ge=1, description="Nearest names looked at for a mention.")
    abbreviations: bool = Field(
        True, description="Look up the long form of an abbreviation that the text defines."
    )


class DenseSettings(BackendSettings):
    """The concept of the nearest name in the space of a text encoder."""

    min_score: float = Field(
        0.7,
        ge=0,
        le=1,
        description="A mention whose nearest name has a lower cosine similarity is NIL.",
    )
    spans: Literal["dictionary", "scispacy"] = Field(
        "dictionary", description="The backend that finds the spans."
    )
    model: str = Field(
        "minilm",
        description="Text encoder: a registry name, `hub:<name>`, or a Hugging Face folder such as "
        "a model of another run.",
    )
    pooling: Literal["mean", "cls"] = Field(
        "mean", description="A vector is the mean of a name's word pieces, or its first state."
    )


class AnnotationSettings(BackendSettings):
    """Annotations that another program made."""

    folder: str | None = Field(
        None, description="Folder of its files, as they are or as `.gz`; needed by this backend."
    )


class LinkingSettings(Settings):
    """How mentions of concepts are found in the text."""

    backend: Literal["dictionary", "scispacy", "dense", "pubtator", "bern2"] = Field(
        "dictionary", description="The linker; docs/linking.md compares them."
    )
    max_mentions_per_sentence: int | None = Field(
        None,
        ge=1,
        description="Mentions kept in a sentence, those of the best score first; null for all.",
    )
    dictionary: DictionarySettings = Field(
        DictionarySettings(), description="Backend `dictionary`: the graph's names in the text."
    )
    scispacy: ScispacySettings = Field(
        ScispacySettings(), description="Backend `scispacy`: scispaCy's candidates and detector."
    )
    dense: DenseSettings = Field(
        DenseSettings(), description="Backend `dense`: the nearest name by a text encoder."
    )
    pubtator: AnnotationSettings = Field(
        AnnotationSettings(), description="Backend `pubtator`: PubTator3's annotations."
    )
    bern2: AnnotationSettings = Field(
        AnnotationSettings(min_score=0.5), description="Backend `bern2`: BERN2's annotations."
    )

    def of(self, backend: str) -> Any:
        """Return the settings of one backend."""
        return getattr(self, backend)

    @model_validator(mode="after")
    def _annotations_are_somewhere(self) -> LinkingSettings:
        if self.backend in ("pubtator", "bern2") and self.of(self.backend).folder is None:
            raise ValueError(f"the backend '{self.backend}' needs linking.{self.backend}.folder")
        return self
