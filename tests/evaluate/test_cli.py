import json

import yaml


def test_task_table_and_show(balign, encoder_folder, database, corpus, tmp_path):
    task = {"name": "tiny", "family": "linking_mentions", "source": "tiny-corpus",
            "entity_type": "Disease"}  # fmt: skip
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"evaluate": {"tasks": [task], "bootstrap_samples": 100}}))
    output = tmp_path / "seed1.json"
    done = balign("evaluate", "task", "tiny", "--config", config, "--model-name", "base",
                  "--model", encoder_folder, "--seed", 1, "--database", database,
                  "--source", corpus, "--output", output)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(output.read_text())["n"] == 6

    board = tmp_path / "leaderboard.json"
    done = balign("evaluate", "table", "--config", config, "--result", output,
                  "--csv", tmp_path / "leaderboard.csv", "--json", board)  # fmt: skip
    assert done.returncode == 0, done.stderr

    done = balign("evaluate", "show", "--leaderboard", board)
    assert done.returncode == 0, done.stderr
    assert "tiny" in done.stdout
    assert "accuracy@1" in done.stdout


def test_an_unknown_task(balign, encoder_folder, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("{}")
    done = balign("evaluate", "task", "none", "--config", config, "--model-name", "base",
                  "--model", encoder_folder, "--output", tmp_path / "x.json")  # fmt: skip
    assert done.returncode == 1
    assert "no task is called 'none'" in done.stderr
    assert "held-out-synonyms" in done.stderr
