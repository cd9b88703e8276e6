"""Settings of the stage ``graph``."""

from __future__ import annotations

from pydantic import Field

from balign.settings import Settings


class GraphSettings(Settings):
    """Which part of the knowledge graph the training reads."""

    exclude_relations: tuple[str, ...] = Field(
        (), description="Relation names (edge.relation) that are left out of the graph."
    )
    max_names: int = Field(
        16, ge=1, description="Names kept for a concept, preferred first; one is drawn at a visit."
    )
