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
    held_out_edges: int = Field(
        1000,
        ge=0,
        description="Edges kept out of the graph, at most one of a concept, to try link prediction "
        "and knowledge graph embeddings on.",
    )
    held_out_seed: int = Field(13, ge=0, description="Seed of their draw.")
