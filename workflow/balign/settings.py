"""The base class of every stage's settings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Settings of one stage: unknown keys are errors, values never change after loading.

    Every field carries a ``description``: the default YAML, the JSON schema and the table in
    ``docs/configuration.md`` are generated from it (``balign config generate``).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
