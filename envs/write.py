"""Write the conda environments of the stages from requirements.lock (`make envs`).

Python and pip come from conda-forge, everything else from the package index, pinned as in the
lock: what a stage imports and all that this needs in turn. Run it where the lock is installed. The
stages with PyTorch have a second file, `<stage>-cpu.yaml`, for the much smaller wheels without
CUDA; it differs from the first in PyTorch alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
COMMAND_LINE = ("pydantic", "pyyaml", "rich", "typer")
TABLES = ("numpy", "polars", "pyarrow")
TRANSFORMERS = ("safetensors", "torch", "transformers")
# What the code of a stage imports; tests/workflow/test_environments.py compares.
STAGES = {
    "sources": ("huggingface_hub", "requests"),
    "kg": ("duckdb", "lxml", *TABLES),
    "corpus": ("duckdb", "isal", "lxml", "requests", "sentencex", *TABLES),
    "linking": ("duckdb", "scikit-learn", "scipy", "scispacy", "spacy", *TABLES, *TRANSFORMERS),
    "graph": ("duckdb", *TABLES),
    "pretrain": ("peft", "tensorboard", "torch-geometric", *TABLES, *TRANSFORMERS),
    "evaluate": (
        "accelerate",  # the Trainer of transformers
        "duckdb",
        "lxml",
        "scikit-learn",
        "scipy",
        "sentencex",
        *TABLES,
        *TRANSFORMERS,
    ),
    "report": ("duckdb", "jinja2", "matplotlib", "rocrate", *TABLES),
}
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"


def locked() -> dict[str, str]:
    """Return the lock's line of each package by its normalised name."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [line for line in lines if "==" in line and not line.startswith("#")]
    return {canonicalize_name(pin.split("==")[0]): pin for pin in pins}


def closure(names: Iterable[str]) -> set[str]:
    """Return packages and all that they need on this platform, by the installed metadata."""
    found: set[tuple[str, str]] = set()
    waiting = [(canonicalize_name(name), "") for name in names]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in found:
            continue
        found.add((name, extra))
        for line in requires(name) or []:
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                key = canonicalize_name(needed.name)
                waiting += [(key, ""), *((key, one) for one in needed.extras)]
    return {name for name, _ in found}


def environment(stage: str, cpu: bool) -> str:
    """Return the text of a stage's environment."""
    lock = locked()
    pins = sorted((lock[name] for name in closure(COMMAND_LINE + STAGES[stage])), key=str.lower)
    wheels = [f"{pin}+cpu" if cpu and pin.startswith("torch==") else pin for pin in pins]
    options = [f"--extra-index-url {CPU_WHEELS}"] if cpu else []
    return "\n".join(
        [
            f"# Environment of the stage {stage}, written from requirements.lock by `make envs`.",
            "channels:",
            "  - conda-forge",
            "dependencies:",
            "  - python=3.11",
            "  - pip",
            "  - pip:",
            *(f"      - {line}" for line in options + wheels),
            "",
        ]
    )


def main() -> None:
    """Write the files; with --check, name those that differ instead and fail if there are any."""
    files = {f"{stage}.yaml": environment(stage, cpu=False) for stage in STAGES}
    with_torch = [stage for stage, packages in STAGES.items() if "torch" in packages]
    files |= {f"{stage}-cpu.yaml": environment(stage, cpu=True) for stage in with_torch}
    paths = {ROOT / "envs" / name: text for name, text in files.items()}
    stale = [path for path, text in paths.items() if not path.exists() or path.read_text() != text]
    for path in stale:
        print(path.relative_to(ROOT))
        if "--check" not in sys.argv:
            path.write_text(paths[path])
    if stale and "--check" in sys.argv:
        sys.exit("these differ from requirements.lock: run `make envs`")


if __name__ == "__main__":
    main()
