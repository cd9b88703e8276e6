"""What every stage's rules share: the checked configuration, paths and stamps.

Reads: the configuration files, resources/sources.yaml.
Writes: <results>/config.yaml, the resolved configuration that every command reads.
"""

import os
import shlex
import sys
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

ROOT = Path(workflow.basedir)
DEFAULT = Path("config/config.yaml")
# Rules call `python -m balign`: by this interpreter, or by that of the rule's conda environment,
# whose activation comes later and so goes before it in PATH. The package comes from the repository;
# Snakemake clears PYTHONPATH for an environment, so that it is set in each shell.
os.environ.update(PATH=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()]))
shell.prefix(f"export PYTHONPATH={shlex.quote(str(ROOT / 'workflow'))}; ")
sys.path.insert(0, str(ROOT / "workflow"))

from balign.config import load_config
from balign.digest import code_digest
from balign.errors import BalignError
from balign.evaluate.families import FAMILIES, seeds_of
from balign.files import atomic_path
from balign.sources.hub import HUB, encoder_key, hub_manifest_path
from balign.sources.registry import entry_digest, load_registry, manifest_path
from balign.steps import stamp as step_stamp

try:
    # Snakemake lists the files of the command line before the default file that they lie over.
    files = sorted(map(Path, workflow.configfiles), key=lambda file: file != DEFAULT)
    CONFIG = load_config(files, config)
    REGISTRY = load_registry(Path(CONFIG.sources.registry))
except BalignError as error:
    raise WorkflowError(str(error)) from None

REGISTERED = {entry.name for entry in REGISTRY.sources}
DATA = CONFIG.paths.data
RESULTS = CONFIG.paths.results
RESOLVED = f"{RESULTS}/config.yaml"


def write_resolved():
    """Write the resolved configuration beside the results, if it is not there already."""
    text = yaml.safe_dump(CONFIG.model_dump(mode="json"), sort_keys=False)
    path = Path(RESOLVED)
    if not path.is_file() or path.read_text() != text:
        with atomic_path(path) as temporary:
            temporary.write_text(text)


write_resolved()


def stamp(step, **fixed):
    """Make a rule's `params.stamp`: the settings it reads and the digest of its code."""

    def by_wildcards(wildcards):
        return step_stamp(step, CONFIG, **fixed, **dict(wildcards.items()))

    return by_wildcards


def source(name):
    """Return the manifest of a source in the registry."""
    try:
        return str(manifest_path(Path(DATA), REGISTRY.entry(name)))
    except BalignError as error:
        raise WorkflowError(str(error)) from None


def options(name, values):
    """Repeat a command-line option for each value, quoted for the shell."""
    return " ".join(f"{name} {shlex.quote(str(value))}" for value in values)


def rrf_files():
    """Return the files of the UMLS folder, so that a new release makes the graph stale."""
    folder = CONFIG.kg.rrf.folder
    # A folder that is not there yet is reported by the command itself, not by a dry run.
    return sorted(str(path) for path in Path(folder).glob("*.RRF")) if folder else []


def pubmed_files():
    """Return the path and, for a set of the registry, the manifest of each PubMed file by name."""
    found = {}
    for name in CONFIG.corpus.sources:
        manifest = source(name)
        for file in REGISTRY.entry(name).files:
            found[file.name.removesuffix(".xml.gz")] = (Path(manifest).parent / file.name, manifest)
    for path in sorted(Path(CONFIG.corpus.folder).glob("*.xml.gz")) if CONFIG.corpus.folder else []:
        found[path.name.removesuffix(".xml.gz")] = (path, str(path))
    for name in CONFIG.corpus.baseline.names if CONFIG.corpus.baseline else []:
        path = f"{DATA}/pubmed/baseline/{name}.xml.gz"
        found[name] = (Path(path), path)
    return found


def encoder_input(encoder):
    """Return what stands for an encoder: a manifest, or the configuration in a folder."""
    if encoder in REGISTERED:
        return source(encoder)
    if encoder.startswith(HUB):
        return str(hub_manifest_path(Path(DATA), encoder))
    return f"{encoder}/config.json"


def encoder_path(path):
    """Return what a command takes for an encoder: a manifest or a folder."""
    return str(Path(path).parent) if Path(path).name == "config.json" else path


def model_folder(model):
    """Return the folder of a trained model."""
    return f"{RESULTS}/models/{model}"


def task_files(wildcards):
    """Return the files that a task needs, by kind."""
    task = TASKS[wildcards.task]
    known = {"database": [KG], "abstracts": ABSTRACTS, "source": []}
    if hasattr(task, "source"):
        known["source"] = [source(task.source)]
    return [file for kind in FAMILIES[task.family].inputs for file in known[kind]]


def task_options(wildcards, input):
    """Return the same files as options of the command."""
    names = {KG: "--database", **dict.fromkeys(ABSTRACTS, "--abstracts")}
    return " ".join(options(names.get(file, "--source"), [file]) for file in input.files)
