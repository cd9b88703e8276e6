"""Fixtures that every test folder may use."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture
def balign():
    """Run the command line in a process of its own and return the finished process."""

    def run(*arguments, **environment):
        own = {"PYTHONPATH": str(ROOT / "workflow"), "COLUMNS": "120"}
        return subprocess.run(
            [sys.executable, "-m", "balign", *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, **own, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run
