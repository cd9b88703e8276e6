"""Settings of the stage ``linking``."""

from __future__ import annotations

from pydantic import Field

from balign.settings import Settings


class LinkingSettings(Settings):
    """How mentions of concepts are found in the text."""

    min_characters: int = Field(
        3, ge=1, description="Shortest name, in characters, that the dictionary holds."
    )
    max_tokens: int = Field(
        12, ge=1, description="Longest name, in tokens, that the dictionary holds."
    )
    stop_words: str = Field(
        "resources/stop_words.txt",
        description="File of everyday words, one a line, that are never linked.",
    )
