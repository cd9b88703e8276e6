"""Why a result is stale, or since when it is fresh, in words.

The one module that asks Snakemake: it has Snakemake build the DAG of a target, as a dry run does,
and compares what was recorded when a result was made with what holds now.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from balign.digest import PARTS
from balign.errors import BalignError
from balign.provenance import read_code, read_runs, run_of

_DIGEST = re.compile(r"[0-9a-f]{16}")
_LISTED = 5


def why(target: str, files: Sequence[Path]) -> list[str]:
    """Return lines that say why a target would be made again, or that it is up to date.

    Args:
        target: a file or folder that the workflow makes, or the name of a rule such as ``all``.
        files: configuration files, lowest precedence first.

    Raises:
        BalignError: if the configuration is wrong or no rule makes the target.
    """
    with _planned(target, files) as workflow:
        dag, told = workflow.dag, _Told(workflow)
        levels = (sorted(level, key=lambda job: str(job.output)) for level in dag.toposorted())
        stale = [job for level in levels for job in level if dag.needrun(job) and job.output]
        if not stale:
            made = [job for job in dag.targetjobs if job.output]
            return [f"{target} is up to date", *(line for job in made for line in told.made(job))]
        reasons = {job: told.reasons(job) for job in stale}
        roots = [job for job in stale if reasons[job]]
        own = any(job in dag.targetjobs for job in roots)
        lines = [f"{target} is stale" if own else f"{target} is stale, by what it is made from"]
        for job in roots:
            lines.append(f"  {job.rule.name} has to run for {_listed(job.output)}")
            lines += [f"    {reason}" for reason in reasons[job]]
        follow = [job for job in stale if not reasons[job]]
        if follow:
            names = sorted({job.rule.name for job in follow})
            lines.append(f"  what hangs on that, {len(follow)} jobs: {', '.join(names)}")
        return lines


@contextlib.contextmanager
def _planned(target: str, files: Sequence[Path]) -> Iterator[Any]:
    """Yield Snakemake's workflow with the DAG of a target, under the repository's profile."""
    from snakemake.api import SnakemakeApi
    from snakemake.cli import parse_args
    from snakemake.exceptions import MissingRuleException, WorkflowError
    from snakemake.settings.types import (
        ConfigSettings,
        DAGSettings,
        OutputSettings,
        ResourceSettings,
    )

    options = ["--configfile", *map(str, files)] if files else []
    with contextlib.ExitStack() as stack:
        # Snakemake says what it is doing; what is wrong comes as an exception.
        stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        _, given = parse_args(["--dry-run", *options, "--", target])
        api = stack.enter_context(SnakemakeApi(OutputSettings(dryrun=True)))
        try:
            planned = api.workflow(
                resource_settings=ResourceSettings(cores=1),
                config_settings=ConfigSettings(configfiles=given.configfile),
            )
            planned.dag(
                DAGSettings(
                    targets=given.targets,
                    force_incomplete=given.rerun_incomplete,
                    rerun_triggers=given.rerun_triggers,
                    max_checksum_file_size=given.max_checksum_file_size,
                )
            )
            workflow = planned._workflow
            workflow._prepare_dag(forceall=False, ignore_incomplete=False, lock_warn_only=True)
            workflow._build_dag()
        except MissingRuleException:
            raise BalignError(
                f"no rule makes {target}",
                hint="give a file or folder under paths.results or paths.data, or a rule's name"
                " (snakemake --list)",
            ) from None
        except WorkflowError as error:
            raise BalignError(str(error)) from None
        yield workflow


class _Told:
    """What Snakemake recorded of a job's outputs, against what holds now."""

    def __init__(self, workflow: Any) -> None:
        self._workflow = workflow
        self._records = workflow.persistence
        self._folder = Path(workflow.globals["RESULTS"]) / "provenance"

    @cached_property
    def _code(self) -> Mapping[str, Mapping[str, str]]:
        return {**read_code(self._folder), **PARTS}

    def reasons(self, job: Any) -> list[str]:
        """Return the reasons that lie in a job itself; none where it only follows another."""
        reason = self._workflow.dag.reason(job)
        incomplete = self._workflow.async_run(self._records.incomplete(job))
        found = []
        if incomplete:
            found.append(f"interrupted while it was made: {_listed(incomplete)}")
        missing = [file for file in job.output if not Path(file).exists()]
        if missing:
            found.append(f"missing: {_listed(missing)}")
        newer = reason.updated_input - reason.updated_input_run
        if newer:
            found.append(f"newer than the result: {_listed(newer)}")
        if missing or not self._records.has_metadata(job):
            return found
        record = self._records.metadata(job.output[0])
        found += self._inputs(record.input or [], job)
        found += self._params(record.params or [], self._records._params(job))
        if record.code is not None and record.code != self._records._code(job.rule):
            found.append("the rule's command has changed")
        return found

    def made(self, job: Any) -> list[str]:
        """Return lines that say when and by what a job's result was made."""
        record = self._records.metadata(job.output[0])
        if record is None:
            return ["  nothing is recorded of how it was made"]
        lines = [f"  made on {_date(record.endtime)} by {record.rule}"]
        run = run_of(read_runs(self._folder), record.starttime)
        if run is not None:
            git = run["git"] or {"commit": "no git", "changed": []}
            changed = f", {len(git['changed'])} files changed" if git["changed"] else ""
            lines[0] += f", balign {run['balign']} ({git['commit'][:10]}{changed})"
        lines.append(f"  command: {record.shellcmd}")
        now = self._records._conda_env(job)
        if record.conda_env and now and record.conda_env != now:
            file = Path(str(job.conda_env.file)).name
            lines.append(
                f"  envs/{file} has changed since, which by itself makes nothing stale:"
                f" {_lines_changed(record.conda_env, now)}"
            )
        return lines

    def _inputs(self, before: Sequence[str], job: Any) -> Iterator[str]:
        old, new = set(before), set(self._records._input(job))
        if new - old:
            yield f"new input: {_listed(new - old)}"
        if old - new:
            yield f"no longer an input: {_listed(old - new)}"

    def _params(self, before: Iterable[str], now: Iterable[str]) -> Iterator[str]:
        old, new = dict(_flat(before)), dict(_flat(now))
        modules: dict[str, set[str]] = {}
        for key in [*new, *(key for key in old if key not in new)]:
            was, value = old.get(key), new.get(key)
            if was == value:
                continue
            if all(isinstance(one, str) and _DIGEST.fullmatch(one) for one in (was, value)):
                for kind, names in self._modules(str(was), str(value)):
                    modules.setdefault(kind, set()).update(names)
            elif key not in old:
                yield f"setting {key} is new: {value!r}"
            elif key not in new:
                yield f"setting {key} is no longer used (was {was!r})"
            else:
                yield f"setting {key}: was {was!r}, is {value!r}"
        for kind, found in modules.items():
            yield f"{kind}: {_listed(found)}"

    def _modules(self, before: str, now: str) -> Iterator[tuple[str, Iterable[str]]]:
        """Yield what has become of which modules between two digests of code."""
        old, new = self._code.get(before), self._code.get(now)
        if old is None or new is None:
            yield "code changed", ["which modules was not recorded"]
            return
        kinds: dict[str, Iterable[str]] = {
            "code changed": [name for name in old.keys() & new.keys() if old[name] != new[name]],
            "code added": new.keys() - old.keys(),
            "code removed": old.keys() - new.keys(),
        }
        yield from ((kind, names) for kind, names in kinds.items() if names)


def _flat(params: Iterable[str]) -> Iterator[tuple[str, Any]]:
    """Yield settings and digests of recorded params: key path and value."""
    for text in params:
        try:
            value = ast.literal_eval(text)
        except (SyntaxError, ValueError):
            value = text
        if isinstance(value, dict):
            yield from _leaves("", value)
        else:
            yield f"`{value}`", value


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(f"{path}.{key}" if path else str(key), inner)
    else:
        yield path, value


def _lines_changed(before: str, now: str) -> str:
    """Return the lines that differ between two files in base64."""
    old, new = (base64.b64decode(text).decode().splitlines() for text in (before, now))
    gone = [f"-{line.strip()}" for line in old if line not in new]
    come = [f"+{line.strip()}" for line in new if line not in old]
    return " ".join([*gone, *come])


def _date(moment: float) -> str:
    return datetime.fromtimestamp(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _listed(files: Iterable[Any]) -> str:
    names = sorted(map(str, files))
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
