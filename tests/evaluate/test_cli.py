import hashlib
import json

import pytest
import yaml

TASK = {
    "name": "tiny",
    "family": "linking_mentions",
    "source": "tiny-corpus",
    "entity_type": "Disease",
}


@pytest.fixture
def config(tmp_path, corpus):
    """A configuration with one task, and a registry that has its source, fetched or not."""
    files = [
        {
            "name": path.name,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "bytes": path.stat().st_size,
            "places": [f"https://example.org/{path.name}"],
        }
        for path in sorted(corpus.parent.glob("*.txt"))
    ]
    entry = {"name": "tiny-corpus", "version": "1", "what": "x", "licence": "none"}
    entry |= {"homepage": "https://example.org", "format": "pubtator", "files": files}
    registry = tmp_path / "sources.yaml"
    registry.write_text(yaml.safe_dump({"sources": [entry]}))
    values = {
        "paths": {"data": str(tmp_path / "data"), "results": str(tmp_path / "results")},
        "sources": {"registry": str(registry), "retries": 0},
        "evaluate": {"tasks": [TASK], "bootstrap_samples": 100},
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_predict_score_and_table(balign, encoder_folder, database, corpus, config, tmp_path):
    predictions, output = tmp_path / "seed1.parquet", tmp_path / "seed1.json"
    done = balign("evaluate", "predict", "tiny", "--config", config, "--model-name", "base",
                  "--model", encoder_folder, "--seed", 1, "--database", database,
                  "--source", corpus, "--output", predictions)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not output.exists()
    done = balign("evaluate", "score", "--predictions", predictions, "--output", output)
    assert done.returncode == 0, done.stderr
    assert json.loads(output.read_text())["n"] == 6

    folder = tmp_path / "results/evaluation"
    done = balign("evaluate", "table", "--config", config)
    assert done.returncode == 1
    assert "there is no leaderboard yet" in done.stderr
    done = balign("evaluate", "table", "--config", config, "--result", output,
                  "--csv", folder / "leaderboard.csv",
                  "--json", folder / "leaderboard.json")  # fmt: skip
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    printed = balign("evaluate", "table", "--config", config).stdout
    assert "tiny" in printed
    assert "accuracy@1" in printed
    printed = balign("evaluate", "table", "--config", config, "--form", "latex").stdout
    assert printed.startswith(r"\begin{tabular}")


def test_model_fetches_its_sources_and_keeps_what_is_there(
    balign, encoder_folder, database, corpus, config, tmp_path
):
    mirror = tmp_path / "mirror/example.org"
    mirror.mkdir(parents=True)
    for path in corpus.parent.glob("*.txt"):
        (mirror / path.name).write_bytes(path.read_bytes())

    def run(*more):
        return balign("evaluate", "model", encoder_folder, "--task", "tiny", "--config", config,
                      "--name", "mine", "--output", tmp_path / "out", *more,
                      BALIGN_MIRROR=str(mirror.parent))  # fmt: skip

    done = run()
    assert done.returncode == 1
    assert "also reads: database" in done.stderr
    done = run("--database", database, "--form", "markdown")
    assert done.returncode == 0, done.stderr
    assert "| tiny | all | accuracy@1 | mine | 6 |" in done.stdout
    predictions = tmp_path / "out/tiny/mine/seed1.parquet"
    before = predictions.stat().st_mtime_ns
    again = run("--database", database, "--form", "markdown")
    assert again.stdout == done.stdout
    assert "the predictions are there" in again.stderr
    assert predictions.stat().st_mtime_ns == before
    other = tmp_path / "other.duckdb"  # the same rows, another file
    other.write_bytes(database.read_bytes() + b" ")
    done = run("--database", other)
    assert done.returncode == 0, done.stderr
    assert "the predictions are there" not in done.stderr


def test_an_unknown_task(balign, encoder_folder, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("{}")
    done = balign("evaluate", "predict", "held-out-synonym", "--config", config, "--model-name",
                  "base", "--model", encoder_folder, "--output", tmp_path / "x")  # fmt: skip
    assert done.returncode == 1
    assert "no task is called 'held-out-synonym'" in done.stderr
    assert "did you mean 'held-out-synonyms'?" in done.stderr
