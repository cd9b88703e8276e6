import difflib
from pathlib import Path

import pytest
import yaml

from balign.config import Config, load_config
from balign.config_files import generated_files
from balign.errors import ConfigError

DEFAULT = "config/config.yaml"
SHIPPED = ["open", "umls", "ablation", "compare", "results"]


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", sorted(generated_files()))
def test_generated_files_have_not_drifted(root, name):
    committed = (root / name).read_text()
    diff = difflib.unified_diff(
        committed.splitlines(),
        generated_files()[name].splitlines(),
        name,
        "the models",
        lineterm="",
    )
    assert not (text := "\n".join(diff)), f"run `make generate`:\n{text}"


def test_the_default_file_holds_the_defaults(root):
    assert load_config([root / DEFAULT]) == Config()


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_configurations_parse(root, name):
    config = load_config([root / DEFAULT, root / f"config/{name}.yaml"])
    assert config != Config()
    assert config.paths.results != Config().paths.results


@pytest.mark.parametrize(
    ("text", "where", "wrong", "nearest"),
    [
        ("pretrian:\n  data: {}\n", "line 1", "pretrian", "pretrain"),
        ("kg:\n  held_out:\n    cuont: 3\n", "line 3", "kg.held_out.cuont", "kg.held_out.count"),
        (
            "pretrain:\n  models:\n    - name: a\n      encoder: minilm\n      stpes: 4\n",
            "line 5",
            "pretrain.models[0].stpes",
            "pretrain.models[0].steps",
        ),
        (
            "evaluate:\n  tasks:\n    - {name: a, family: check_tags, epoch: 4}\n",
            "line 3",
            "evaluate.tasks[0].epoch",
            "evaluate.tasks[0].epochs",
        ),
        ("kg:\n  zzzzzzzz: 4\n", "line 2", "kg.zzzzzzzz", "valid keys here: sources"),
    ],
)
def test_unknown_key_names_file_line_path_and_nearest(tmp_path, text, where, wrong, nearest):
    path = write(tmp_path / "my.yaml", text)
    with pytest.raises(ConfigError) as caught:
        load_config([path])
    message = str(caught.value)
    assert f"'{wrong}'" in message
    assert f"{path}, {where}" in message
    assert nearest in message


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("graph:\n  max_names: many\n", ["graph.max_names", "line 2", "'many'"]),
        ("graph:\n  max_names: 0\n", ["graph.max_names", "greater than or equal to 1"]),
        (
            "evaluate:\n  tasks:\n    - {name: a, family: check_tags, epochs: 0}\n",
            ["evaluate.tasks[0].epochs", "line 3"],
        ),
        (
            "pretrain:\n  models:\n    - {name: base, objectives: [{type: mlm}]}\n",
            ["pretrain", "none may be 'base'"],
        ),
        ("kg: [1, 2\n", ["not valid YAML"]),
        ("- kg\n", ["top level must be a mapping"]),
    ],
)
def test_wrong_value_is_explained(tmp_path, text, parts):
    path = write(tmp_path / "my.yaml", text)
    with pytest.raises(ConfigError) as caught:
        load_config([path])
    for part in [*parts, str(path)]:
        assert part in str(caught.value)


def test_missing_file_is_explained(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config([tmp_path / "none.yaml"])


def test_later_files_merge_mappings_and_replace_lists(tmp_path):
    first = write(
        tmp_path / "a.yaml", "kg: {sources: [hpo, mesh], held_out: {count: 1, seed: 2}}\n"
    )
    second = write(tmp_path / "b.yaml", "kg:\n  sources: [doid]\n  held_out: {count: 9}\n")
    kg = load_config([first, second]).kg
    assert kg.sources == ("doid",)
    assert (kg.held_out.count, kg.held_out.seed) == (9, 2)


def test_a_key_from_the_command_line_is_checked(root):
    with pytest.raises(ConfigError, match=r"unknown configuration key 'kgg'"):
        load_config([root / "config/config.yaml"], {"kgg": {}})


def test_config_check_prints_what_results(balign, tmp_path):
    mine = write(tmp_path / "my.yaml", "graph: {max_names: 3}\n")
    done = balign("config", "check", "-c", "config/config.yaml", "-c", mine)
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["graph"]["max_names"] == 3


def test_a_wrong_configuration_has_status_1_and_no_traceback(balign, tmp_path):
    mine = write(tmp_path / "my.yaml", "grahp: {}\n")
    done = balign("config", "check", "-c", mine)
    assert done.returncode == 1
    assert "did you mean 'graph'?" in done.stderr
    assert "Traceback" not in done.stderr
