import logging
import signal

import pytest
import yaml
from typer.testing import CliRunner

from balign.errors import ConfigError
from balign.pretrain.cli import app


class StopAt(logging.Handler):
    def emit(self, record):
        if record.getMessage().startswith("step 0, validation"):
            signal.raise_signal(signal.SIGTERM)


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.yaml"
    model = {"name": "small", "objectives": [{"type": "mlm"}], "steps": 2, "batch_sentences": 4}
    settings = {"pretrain": {"data": {"validation_sentences": 3}, "models": [model]}}
    path.write_text(yaml.safe_dump(settings))
    return path


def tokenize_arguments(world, output, config):
    files = [item for path in world.mentions for item in ("--mentions", path)]
    rest = ["--encoder", world.encoder, "--graph", world.graph, "--output", output, "-c", config]
    corpus = world.abstracts[0].parents[1]
    return ["tokenize", "--corpus", str(corpus), *map(str, [*files, *rest])]


def train_arguments(world, folder, config, model="small"):
    options = {
        "encoder": world.encoder,
        "tokens": folder / "tokens",
        "graph": world.graph,
        "output": folder / "model",
        "checkpoints": folder / "checkpoints",
        "threads": 1,
        "config": config,
    }
    return ["train", model, *(x for k, v in options.items() for x in (f"--{k}", str(v)))]


def test_tokenize_train_stop_and_resume(world, tmp_path, config):
    run = CliRunner().invoke
    assert run(app, tokenize_arguments(world, tmp_path / "tokens", config)).exit_code == 0
    log, handler = logging.getLogger("balign.pretrain.loop"), StopAt()
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        stopped = run(app, train_arguments(world, tmp_path, config))
    finally:
        log.removeHandler(handler)
    assert stopped.exit_code == 75, stopped.output
    assert not (tmp_path / "model").exists()
    assert run(app, train_arguments(world, tmp_path, config)).exit_code == 0
    assert (tmp_path / "model" / "model.safetensors").is_file()


def test_an_unknown_model_is_named(world, tmp_path, config):
    result = CliRunner().invoke(app, train_arguments(world, tmp_path, config, model="smal"))
    assert isinstance(result.exception, ConfigError)
    assert "'smal'" in str(result.exception) and "small" in str(result.exception)
