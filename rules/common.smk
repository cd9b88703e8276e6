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
# whose activation comes later and so goes before it in PATH.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
os.environ["PYTHONPATH"] = f"{ROOT / 'workflow'}"
sys.path.insert(0, str(ROOT / "workflow"))

from balign.config import load_config
from balign.errors import BalignError
from balign.files import atomic_path
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
