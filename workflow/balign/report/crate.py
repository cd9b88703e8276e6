"""The provenance as an RO-Crate 1.1 of the profile Process Run Crate 0.5.

https://w3id.org/ro/crate/1.1 and https://w3id.org/ro/wfrun/process/0.5: the folder of results is
the crate; a job is a CreateAction whose instrument is balign at a commit, its objects are inputs
and sources, its results are files. The library writes the terms; the files stay where they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rocrate.model import ContextEntity, Dataset, File, SoftwareApplication
from rocrate.rocrate import ROCrate

_PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
_TYPES = {
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".md": "text/markdown",
    ".parquet": "application/vnd.apache.parquet",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".yaml": "application/yaml",
}


def crate_metadata(told: Mapping[str, Any], results: Path) -> dict[str, Any]:
    """Return the JSON-LD of ``ro-crate-metadata.json``.

    Args:
        told: what :func:`balign.report.provenance.report_provenance` found.
        results: folder of the run, as the workflow names it.
    """
    crate = ROCrate(version="1.1")
    profile = ContextEntity(
        crate,
        _PROFILE,
        properties={"@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"},
    )
    crate.add(profile)
    sources = {one["manifest"]: _add_source(crate, one) for one in told["sources"]}
    licences = "; ".join(
        f"{one['name']} {one['version']}: {one['licence']}" for one in told["sources"]
    )
    terms = ContextEntity(
        crate,
        "#licences",
        properties={
            "@type": "CreativeWork",
            "name": "Terms of the sources, which hold for what is made from them",
            "description": licences or "No source is registered.",
        },
    )
    crate.add(terms)
    crate.name = told["title"]
    crate.description = (
        "Results of a run of balign: a knowledge graph, linked text, language models and their"
        " evaluation, with the job that made each of them."
    )
    crate.license = terms
    crate.root_dataset["conformsTo"] = profile
    results_by_path = {one["path"]: _add_result(crate, one, results) for one in told["results"]}
    software = [_add_software(crate, number, run) for number, run in enumerate(told["runs"])]
    entities = {**sources, **results_by_path}
    for number, (command, made) in enumerate(_jobs(told["results"])):
        first = made[0]
        properties = {
            "@type": "CreateAction",
            "name": first["rule"],
            "description": command,
            "startTime": first["started"],
            "endTime": max(one["ended"] for one in made),
        }
        action = crate.add(ContextEntity(crate, f"#job-{number}", properties=properties))
        if first["run"] is not None:
            action["instrument"] = software[first["run"]]
        inputs = [entities[path] for path in first["inputs"] if path in entities]
        if inputs:
            action["object"] = _plain(inputs)
        action["result"] = _plain([results_by_path[one["path"]] for one in made])
        crate.root_dataset.append_to("mentions", action)
    metadata: dict[str, Any] = crate.metadata.generate()
    return metadata


def _plain(values: list[Any]) -> Any:
    """Return a value alone, as RO-Crate asks for it, or several."""
    return values[0] if len(values) == 1 else values


def _jobs(results: Iterable[Mapping[str, Any]]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Return the results of each job, by its command."""
    jobs: dict[str, list[Mapping[str, Any]]] = {}
    for one in results:
        if one["rule"] is not None:
            jobs.setdefault(one["command"], []).append(one)
    return list(jobs.items())


def _add_source(crate: ROCrate, source: Mapping[str, Any]) -> Any:
    files = "; ".join(f"{name} sha256 {file['sha256']}" for name, file in source["files"].items())
    properties = {
        "@type": "Dataset",
        "name": source["name"],
        "version": source["version"],
        "license": source["licence"],
        "url": source["homepage"],
        "description": files or f"Not had: {source['status']}",
    }
    return crate.add(ContextEntity(crate, f"#source-{source['name']}", properties=properties))


def _add_result(crate: ROCrate, result: Mapping[str, Any], results: Path) -> Any:
    """Add a result: a file, or a folder with its files."""
    added = []
    for name, file in result["files"].items():
        properties = {
            "name": Path(name).name,
            "contentSize": str(file["bytes"]),
            "sha256": file["sha256"],
            "encodingFormat": _TYPES.get(Path(name).suffix, "application/octet-stream"),
        }
        added.append(crate.add(File(crate, dest_path=name, properties=properties)))
    name = Path(result["path"]).relative_to(results).as_posix()
    if list(result["files"]) == [name]:
        return added[0]
    folder = crate.add(Dataset(crate, dest_path=name, properties={"name": name}))
    folder["hasPart"] = _plain(added)
    return folder


def _add_software(crate: ROCrate, number: int, run: Mapping[str, Any]) -> Any:
    """Add balign as it was at a run, with the libraries it ran on."""
    commit = (run["git"] or {}).get("commit")
    changed = (run["git"] or {}).get("changed", [])
    needs = []
    pages = {
        f"https://pypi.org/project/{name}/{version}/": (name, version)
        for name, version in run["libraries"].items()
    }
    pages["https://www.python.org/"] = ("Python", run["python"])
    for page, (name, version) in pages.items():
        properties = {"name": name, "softwareVersion": version, "url": page}
        needs.append(SoftwareApplication(crate, page, properties=properties))
    software = SoftwareApplication(
        crate,
        f"#balign-{number}",
        properties={
            "name": "balign",
            "softwareVersion": f"{run['balign']} ({commit})" if commit else run["balign"],
            "description": f"Started {run['started']} by: {' '.join(run['command'])}"
            + (f"; {len(changed)} files differed from the commit" if changed else ""),
        },
    )
    software["softwareRequirements"] = [crate.add(need) for need in needs]
    return crate.add(software)
