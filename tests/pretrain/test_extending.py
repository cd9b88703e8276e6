"""The worked example of docs/extending.md, done to a copy of the package."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

import balign

ROOT = Path(balign.__file__).parents[2]


def test_a_new_objective_is_a_file_and_a_line(world, tmp_path):
    page = (ROOT / "docs" / "extending.md").read_text()
    objective, settings = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (configuration,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    package = tmp_path / "workflow" / "balign"
    shutil.copytree(ROOT / "workflow" / "balign", package, ignore=shutil.ignore_patterns("__py*"))
    (package / "pretrain" / "objectives" / "simcse.py").write_text(objective)
    path = package / "pretrain" / "settings.py"
    text = path.read_text()
    union = re.search(r"Objective = Annotated\[\n(.*?),\n    Field", text, re.DOTALL)
    members = f"{union[1]}\n    | SimcseSettings"
    text = text[: union.start()] + settings + "\n\n" + text[union.start() :]
    path.write_text(text.replace(union[1], members))
    (tmp_path / "config.yaml").write_text(configuration)
    (model,) = yaml.safe_load(configuration)["pretrain"]["models"]
    options = {
        "encoder": world.encoder,
        "tokens": world.tokens,
        "graph": world.graph,
        "output": tmp_path / "model",
        "checkpoints": tmp_path / "checkpoints",
        "threads": 1,
        "config": tmp_path / "config.yaml",
    }
    command = [sys.executable, "-m", "balign", "pretrain", "train", model["name"]]
    command += [x for key, value in options.items() for x in (f"--{key}", str(value))]
    env = {**os.environ, "PYTHONPATH": str(package.parent)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    card = (tmp_path / "model" / "README.md").read_text()
    assert "`simcse`, weight 1: Two encodings of one sentence near" in card
    assert '"simcse"' in (tmp_path / "model" / "metrics.jsonl").read_text()
