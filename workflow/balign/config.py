"""The configuration: all stages' settings, how files are read, and errors that help.

Files are layered as Snakemake layers them: ``config/config.yaml`` first, each further file over
it; mappings merge, lists and values replace.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from balign.corpus.settings import CorpusSettings
from balign.errors import ConfigError, nearest_hint
from balign.evaluate.entries import with_entries
from balign.evaluate.settings import EvaluateSettings
from balign.evaluate.zero_shot_settings import CompletionTask
from balign.graph.settings import GraphSettings
from balign.kg.settings import KgSettings
from balign.linking.settings import LinkingSettings
from balign.pretrain.settings import PretrainSettings
from balign.report.settings import ReportSettings
from balign.settings import Settings
from balign.sources.settings import SourcesSettings


class PathSettings(Settings):
    """Where files go."""

    data: str = Field("data", description="Folder of downloaded sources, shared by all runs.")
    results: str = Field("results/demo", description="Folder of everything this run computes.")


class EnvironmentSettings(Settings):
    """The environments that rules run in, where Snakemake is asked for some."""

    torch: Literal["gpu", "cpu"] = Field(
        "gpu",
        description="PyTorch under `--use-conda`: `gpu` is the package index's own wheel, on Linux "
        "with CUDA (it runs without a GPU too); `cpu` a much smaller one without.",
    )
    image: str | None = Field(
        None, description="Container image of `--sdm apptainer`: a `.sif` file or `docker://...`."
    )


class Config(Settings):
    """The whole configuration."""

    paths: PathSettings = Field(PathSettings(), description="Where files go.")
    environments: EnvironmentSettings = Field(
        EnvironmentSettings(), description="Conda environments and container."
    )
    sources: SourcesSettings = Field(SourcesSettings(), description="Downloads.")
    kg: KgSettings = Field(KgSettings(), description="Knowledge graph.")
    corpus: CorpusSettings = Field(CorpusSettings(), description="PubMed text.")
    linking: LinkingSettings = Field(LinkingSettings(), description="Entity linking.")
    graph: GraphSettings = Field(GraphSettings(), description="Graph arrays for training.")
    pretrain: PretrainSettings = Field(PretrainSettings(), description="Alignment pre-training.")
    evaluate: EvaluateSettings = Field(EvaluateSettings(), description="Evaluation.")
    report: ReportSettings = Field(ReportSettings(), description="Report.")

    @model_validator(mode="after")
    def _can_be_completed(self) -> Config:
        tables = [one.name for one in self.pretrain.kge]
        for task in self.evaluate.tasks:
            if not isinstance(task, CompletionTask):
                continue
            if not self.graph.held_out_edges:
                raise ValueError(f"task {task.name} wants graph.held_out_edges above 0")
            if task.kge is not None and task.kge not in tables:
                known = ", ".join(tables) or "it is empty"
                raise ValueError(f"task {task.name}: no kge '{task.kge}' in pretrain.kge ({known})")
        return self


def load_config(files: Sequence[Path], merged: Mapping[str, Any] | None = None) -> Config:
    """Read and check configuration files.

    Args:
        files: YAML files, lowest precedence first.
        merged: the final mapping where the caller has already layered files and command-line
            values (Snakemake's ``config``); made from ``files`` when absent.

    Raises:
        ConfigError: for YAML that does not parse, an unknown key (with the nearest valid one) or a
            value of the wrong type or range; it names file, line and key path.
    """
    layers = [(path, _filled(path, *_read_yaml(path))) for path in files]
    for path, (values, lines) in layers:
        _check_keys(values, Config, (), f"{path}", lines)
    if merged is None:
        merged = {}
        for _, (values, _) in layers:
            merged = _merge(merged, values)
    else:
        merged = with_entries(merged, lambda _: "the command line (--config)")
        _check_keys(merged, Config, (), "the command line (--config)", {})
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        raise _readable(error, layers) from None


Lines = dict[tuple[str | int, ...], int]


def _read_yaml(path: Path) -> tuple[dict[str, Any], Lines]:
    """Return a file's mapping and the line of every key path in it."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"the configuration file cannot be read: {error.strerror}",
            where=str(path),
            hint="give an existing file with --configfile (snakemake) or --config (balign)",
        ) from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"not valid YAML: {error}", where=str(path)) from None
    if values is None:
        return {}, {}
    if not isinstance(values, dict):
        raise ConfigError("the top level must be a mapping of stages", where=str(path))
    return values, dict(_key_lines(node, ()))


def _filled(path: Path, values: dict[str, Any], lines: Lines) -> tuple[dict[str, Any], Lines]:
    """Return a file's mapping with its tasks complete, and the lines."""

    def where(task: int) -> str:
        return f"{path}, line {lines[('evaluate', 'tasks', task)]}"

    return with_entries(values, where), lines


def _key_lines(
    node: yaml.Node | None, path: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, str(key.value))
            yield here, key.start_mark.line + 1
            yield from _key_lines(value, here)
    elif isinstance(node, yaml.SequenceNode):
        for position, value in enumerate(node.value):
            yield (*path, position), value.start_mark.line + 1
            yield from _key_lines(value, (*path, position))


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = _merge(old, value) if both else value  # type: ignore[arg-type]
    return merged


def settings_classes(annotation: Any) -> list[type[BaseModel]]:
    """Return the settings classes inside a type: itself, a union's members, a tuple's items."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType, tuple, typing.Annotated):
        return [model for part in typing.get_args(annotation) for model in settings_classes(part)]
    return []


def _candidates(models: list[type[BaseModel]], values: Mapping[str, Any]) -> list[type[BaseModel]]:
    """Narrow a union of settings classes by its discriminator, the key ``family`` or ``type``."""
    named = [
        model
        for model in models
        for key in ("family", "type")
        if key in model.model_fields
        and values.get(key) in typing.get_args(model.model_fields[key].annotation)
    ]
    return named or models


def _check_keys(
    values: Any, model: type[BaseModel], path: tuple[str | int, ...], where: str, lines: Lines
) -> None:
    if not isinstance(values, Mapping):
        return
    for key, value in values.items():
        here = (*path, str(key))
        field = model.model_fields.get(str(key))
        if field is None:
            line = f", line {lines[here]}" if here in lines else ""
            raise ConfigError(
                f"unknown configuration key '{key_path(here)}'",
                where=f"{where}{line}",
                hint=nearest_hint(
                    str(key),
                    list(model.model_fields),
                    "valid keys here",
                    prefix=f"{key_path(path)}." if path else "",
                ),
            )
        inner = settings_classes(field.annotation)
        if not inner:
            continue
        items: list[tuple[tuple[str | int, ...], Any]] = [(here, value)]
        if isinstance(value, list | tuple):
            items = [((*here, position), item) for position, item in enumerate(value)]
        for place, item in items:
            if isinstance(item, Mapping):
                _check_keys(item, _candidates(inner, item)[0], place, where, lines)


def key_path(path: Sequence[str | int]) -> str:
    """Write a key path as people do: ``pretrain.models[1].steps``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _readable(
    error: ValidationError, layers: Sequence[tuple[Path, tuple[dict[str, Any], Lines]]]
) -> ConfigError:
    problems = []
    for item in error.errors(include_url=False):
        path = tuple(item["loc"])
        # A discriminated union adds the tag of the branch to the path; no file has it as a key.
        place = "the command line (--config)"
        for file, (_, lines) in layers:
            for known in (path, *(path[:i] + path[i + 1 :] for i in range(len(path)))):
                if known in lines:
                    path, place = known, f"{file}, line {lines[known]}"
                    break
        given = "" if isinstance(item["input"], Mapping) else f" (given: {item['input']!r})"
        problems.append((f"{key_path(path)}: {item['msg']}{given}", place))
    return ConfigError(
        "wrong value in the configuration: " + "; ".join(text for text, _ in problems),
        where="; ".join(dict.fromkeys(place for _, place in problems)),
        hint="docs/configuration.md lists every key with its type and default",
    )
