"""The conda environments: each holds what its stage's code imports, exactly as the lock has it."""

import ast
import importlib.util
import re
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


TORCH = ["linking", "pretrain", "evaluate"]


def wheels(root, name):
    environment = yaml.safe_load((root / f"envs/{name}.yaml").read_text())
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


def test_environments_are_those_that_the_lock_gives(root):
    done = subprocess.run(
        [sys.executable, "envs/write.py", "--check"],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    variants = {f"{stage}-cpu" for stage in TORCH}
    assert {path.stem for path in (root / "envs").glob("*.yaml")} == {*STAGES, *variants}


@pytest.mark.parametrize("stage", TORCH)
def test_the_variant_without_cuda_differs_in_torch_alone(root, stage):
    with_cuda, without = wheels(root, stage), wheels(root, f"{stage}-cpu")
    (torch,) = with_cuda - without
    index = "--extra-index-url https://download.pytorch.org/whl/cpu"
    assert without - with_cuda == {f"{torch}+cpu", index}


@pytest.mark.parametrize("recipe", ["Dockerfile", "apptainer.def"])
def test_the_image_is_made_from_the_same_lock_and_python(root, recipe):
    text = (root / "envs" / recipe).read_text()
    (base,) = re.findall(r"^F(?:ROM|rom:) (\S+)$", text, re.MULTILINE)
    python = yaml.safe_load((root / "envs/kg.yaml").read_text())["dependencies"][0]
    assert base.startswith(python.replace("=", ":"))
    assert "--requirement /opt/balign/requirements.lock" in text


@pytest.mark.parametrize("stage", STAGES)
def test_environments_hold_what_the_stage_imports(root, stage, command_line):
    roots = [step.module for name, step in STEPS.items() if name.startswith(f"{stage}_")]
    modules = command_line.union(*map(reached_modules, roots + BESIDE.get(stage, [])))
    needed = {PACKAGE_OF.get(name, name) for module in modules for name in imported(module)}
    assert needed <= {wheel.split("==")[0].lower() for wheel in wheels(root, stage)}
