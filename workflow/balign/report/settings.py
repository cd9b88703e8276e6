"""Settings of the stage ``report``."""

from __future__ import annotations

from pydantic import Field

from balign.settings import Settings


class ReportSettings(Settings):
    """What the report shows."""

    title: str = Field("balign: aligned biomedical language model", description="Title.")
    examples: int = Field(12, ge=0, description="Linked sentences and neighbourhoods shown.")
    seed: int = Field(13, description="Seed of the draw of examples.")
