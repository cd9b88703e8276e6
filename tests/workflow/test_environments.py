"""The conda environments: each holds what its stage's code imports, exactly as the lock has it."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from balign.digest import reached_modules
from balign.evaluate.families import FAMILIES
from balign.linking.backends import BACKENDS
from balign.steps import STEPS

STAGES = ["sources", "kg", "corpus", "linking", "graph", "pretrain", "evaluate", "report"]
# The package that brings a module, where the names differ.
PACKAGE_OF = {
    "markupsafe": "jinja2",
    "sklearn": "scikit-learn",
    "torch_geometric": "torch-geometric",
    "urllib3": "requests",
    "yaml": "pyyaml",
}
# Modules with a stage's work that are no step of their own.
BESIDE = {
    "sources": ["balign.sources.fetch", "balign.sources.hub", "balign.sources.umls"],
    "kg": ["balign.kg.export", "balign.kg.show", "balign.kg.coverage"],
    "corpus": ["balign.corpus.download", "balign.corpus.listing"],
    "linking": [backend.module for backend in BACKENDS.values()],
    "evaluate": [family.module for family in FAMILIES.values()],
}


def wheels(root, stage):
    environment = yaml.safe_load((root / f"envs/{stage}.yaml").read_text())
    assert environment["channels"] == ["conda-forge"]
    return set(environment["dependencies"][-1]["pip"])


def imported(module):
    """Return the top-level names of third-party modules that a module imports."""
    names = set()
    for node in ast.walk(ast.parse(Path(importlib.util.find_spec(module).origin).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").split(".")[0])
    return names - sys.stdlib_module_names - {"balign", ""}


@pytest.fixture(scope="module")
def command_line():
    """The package's modules that every command loads before its own work."""
    code = "import sys, balign.cli, balign.config; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name for name in done.stdout.split() if name.startswith("balign.")}


@pytest.mark.parametrize("stage", STAGES)
def test_environments_agree_with_the_lock(root, stage):
    lock = set((root / "requirements.lock").read_text().splitlines())
    assert wheels(root, stage)
    assert wheels(root, stage) <= lock


@pytest.mark.parametrize("stage", STAGES)
def test_environments_hold_what_the_stage_imports(root, stage, command_line):
    roots = [step.module for name, step in STEPS.items() if name.startswith(f"{stage}_")]
    modules = command_line.union(*map(reached_modules, roots + BESIDE.get(stage, [])))
    needed = {PACKAGE_OF.get(name, name) for module in modules for name in imported(module)}
    assert needed <= {wheel.split("==")[0].lower() for wheel in wheels(root, stage)}
