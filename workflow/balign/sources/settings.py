"""Settings of the stage ``sources``."""

from __future__ import annotations

from pydantic import Field

from balign.settings import Settings


class SourcesSettings(Settings):
    """Where data come from and how patient the download is."""

    registry: str = Field(
        "resources/sources.yaml",
        description="Registry of data sources: name, version, licence, size, sha256 and places.",
    )
    retries: int = Field(4, ge=0, description="How often a failed download is tried again.")
    backoff_seconds: float = Field(
        1.0, ge=0, description="Wait before the first retry; doubled at each further one."
    )
    timeout_seconds: float = Field(
        30.0, gt=0, description="Longest silence of a server before the download counts as failed."
    )
    umls_url: str = Field(
        "https://uts-ws.nlm.nih.gov",
        pattern=r"^(https://|http://(localhost|127\.0\.0\.1)(:|/|$))\S*$",
        description="Server of `balign sources umls`; it is sent the key in UMLS_API_KEY.",
    )
