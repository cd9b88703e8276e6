"""Settings of the stage ``kg``."""

from __future__ import annotations

from pydantic import Field

from balign.settings import Settings


class RrfSettings(Settings):
    """Filters for a Metathesaurus in Rich Release Format (UMLS Reference Manual, chapter 3)."""

    folder: str | None = Field(
        None, description="Folder with MRCONSO.RRF, MRREL.RRF, ...; null when no UMLS is used."
    )
    languages: tuple[str, ...] = Field(("ENG",), description="Values of MRCONSO.LAT to keep.")
    suppress: tuple[str, ...] = Field(("N",), description="Values of SUPPRESS to keep.")
    sources: tuple[str, ...] | None = Field(
        None, description="Values of SAB to keep; null keeps every source."
    )
    exclude_relations: tuple[str, ...] = Field(
        ("RQ", "RU", "XR", "DEL", "QB", "AQ"), description="Values of MRREL.REL to drop."
    )


class HeldOutSettings(Settings):
    """Synonyms kept out of the dictionary and of training, to test zero-shot linking."""

    count: int = Field(2000, ge=0, description="Number of held-out synonyms; 0 holds none out.")
    min_characters: int = Field(6, ge=1, description="Shortest synonym that may be held out.")
    seed: int = Field(13, description="Seed of the draw.")


class KgSettings(Settings):
    """What goes into the knowledge graph."""

    sources: tuple[str, ...] = Field(
        ("hpo", "mondo", "doid", "mesh"),
        description="Ontologies of the source registry, by name; the order is the precedence of "
        "preferred names.",
    )
    rrf: RrfSettings = Field(RrfSettings(), description="A UMLS-format folder, merged in first.")
    held_out: HeldOutSettings = Field(HeldOutSettings(), description="Held-out synonyms.")
