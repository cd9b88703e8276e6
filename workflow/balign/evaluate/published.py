"""Figures that papers report, to be read beside ours and never among them."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import Field, ValidationError

from balign.errors import DataError
from balign.settings import Settings


class Published(Settings):
    """A figure of a paper."""

    system: str = Field(..., description="Model, as the paper calls it.")
    task: str = Field(..., description="Task of ours that it belongs to.")
    subset: str = Field("all", description="Subset of it.")
    metric: str = Field(..., description="Metric, as we call it.")
    value: float = Field(..., ge=-100, le=100, description="Figure, times 100 as papers give it.")
    source: str = Field(..., description="Where it stands.")


def read_published(path: Path) -> list[Published]:
    """Read the file of published figures.

    Raises:
        DataError: if it cannot be read or an entry is wrong.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        return [Published(**one) for one in values["published"]]
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValidationError) as error:
        raise DataError(
            f"not a file of published figures: {error}",
            where=str(path),
            hint="a list `published` of system, task, metric, value and source",
        ) from None
