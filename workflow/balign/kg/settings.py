"""Settings of the stage ``kg``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from balign.settings import Settings

SemanticGroup = Literal[
    "ACTI", "ANAT", "CHEM", "CONC", "DEVI", "DISO", "GENE", "GEOG",
    "LIVB", "OBJC", "OCCU", "ORGA", "PHEN", "PHYS", "PROC",
]  # fmt: skip


class RrfSettings(Settings):
    """A Metathesaurus release and its filters.

    Rich Release Format: UMLS Reference Manual, chapter 3.
    """

    path: str | None = Field(
        None,
        description="A release: the folder with MRCONSO.RRF, MRREL.RRF, ... (plain or .gz), NLM's "
        "zip as downloaded, or the folder of MedGen; null when there is none.",
    )
    on_bad_rows: Literal["error", "quarantine"] = Field(
        "error",
        description="A line that breaks the format stops the build, or goes to the table reject "
        "and is counted.",
    )
    languages: tuple[str, ...] = Field(("ENG",), description="Values of MRCONSO.LAT to keep.")
    suppress: tuple[str, ...] = Field(("N",), description="Values of SUPPRESS to keep.")
    sources: tuple[str, ...] | None = Field(
        None, description="Values of SAB to keep; null keeps every source."
    )
    term_types: tuple[str, ...] | None = Field(
        None, description="Values of TTY to keep; null keeps every term type."
    )
    semantic_types: tuple[str, ...] | None = Field(
        None,
        description="Semantic types (STY or TUI) whose concepts are kept; null keeps all concepts.",
    )
    semantic_groups: tuple[SemanticGroup, ...] | None = Field(
        None, description="Semantic groups whose concepts are kept, besides semantic_types."
    )
    exclude_relations: tuple[str, ...] = Field(
        ("RQ", "RU", "XR", "DEL", "QB", "AQ"), description="Values of MRREL.REL to drop."
    )


class HeldOutSettings(Settings):
    """Synonyms kept out of the dictionary and of training, to test zero-shot linking."""

    count: int = Field(2000, ge=0, description="Number of held-out synonyms; 0 holds none out.")
    min_characters: int = Field(6, ge=1, description="Shortest synonym that may be held out.")
    seed: int = Field(13, description="Seed of the draw.")


class MappingSettings(Settings):
    """Which mappings of SSSOM sets are read."""

    predicates: tuple[str, ...] = Field(
        ("skos:exactMatch",),
        description="Predicates to read; those that are no exact match or equivalence weigh as "
        "xrefs do.",
    )
    min_confidence: float = Field(
        0.0, ge=0, le=1, description="Least confidence, for the mappings that give one."
    )


class KgSettings(Settings):
    """What goes into the knowledge graph."""

    sources: tuple[str, ...] = Field(
        ("hpo", "mondo", "doid", "mesh"),
        description="Ontologies of the source registry, by name; the order is the precedence of "
        "preferred names.",
    )
    rrf: RrfSettings = Field(RrfSettings(), description="A UMLS-format folder, merged in first.")
    mappings: MappingSettings = Field(MappingSettings(), description="Mapping sets (SSSOM).")
    held_out: HeldOutSettings = Field(HeldOutSettings(), description="Held-out synonyms.")
