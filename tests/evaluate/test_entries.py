"""The shipped tasks, and how a configuration takes from them."""

import pytest
import yaml

from balign.config import load_config
from balign.errors import ConfigError
from balign.evaluate.entries import ENTRIES, load_entries, with_entries
from balign.evaluate.families import FAMILIES, seeds_of
from balign.evaluate.task_settings import FineTunedTask
from balign.sources.registry import load_registry

SHIPPED = {
    "bc5cdr-chem", "bc5cdr-disease", "ncbi-disease", "bc2gm", "jnlpba", "chemprot", "ddi", "gad",
    "pubmedqa", "bioasq-yesno", "medqa-usmle", "medmcqa", "hoc", "biosses",
}  # fmt: skip

ZERO_SHOT = {
    "biosses-zero-shot", "umnsrs-similarity", "umnsrs-relatedness", "bc5cdr-disease-linking",
    "bc5cdr-chem-linking", "ncbi-disease-linking", "held-out-synonyms", "probing",
}  # fmt: skip


def load(tmp_path, tasks):
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump({"evaluate": {"tasks": tasks}}, sort_keys=False))
    return load_config([path]).evaluate.tasks


def test_every_shipped_task_is_complete(root, tmp_path):
    names = set(load_entries(ENTRIES))
    assert names >= SHIPPED | ZERO_SHOT
    registry = load_registry(root / "resources/sources.yaml")
    for task in load(tmp_path, [{"name": name} for name in sorted(names)]):
        assert task.family in FAMILIES
        assert len(seeds_of(task)) > 1 or task.name in ZERO_SHOT
        if getattr(task, "path", None):
            assert "https://" in task.obtain or "http://" in task.obtain
            continue
        if getattr(task, "source", None) is None:
            assert FAMILIES[task.family].inputs in (("database",), ("graph", "kge"))
            continue
        entry = registry.entry(task.source)
        assert entry.optional
        files = {file.name for file in entry.files}
        if isinstance(task, FineTunedTask):
            assert files >= {*task.files.train, *task.files.dev, *task.files.test}


def test_an_entry_is_taken_and_changed(tmp_path):
    plain, changed, renamed = load(
        tmp_path,
        [
            {"name": "chemprot"},
            {"name": "chem2", "entry": "chemprot", "fine_tuning": {"epochs": 1}, "max_train": 5},
            {"name": "here", "entry": "chemprot", "path": "my/folder"},
        ],
    )
    assert (changed.name, changed.fine_tuning.epochs, changed.max_train) == ("chem2", 1, 5)
    # The rest of the mapping stays as the entry has it.
    assert changed.fine_tuning.learning_rate == plain.fine_tuning.learning_rate
    assert (renamed.path, renamed.source) == ("my/folder", None)


def test_a_resolved_configuration_stays_as_it_is(tmp_path):
    task = load(tmp_path, [{"name": "pubmedqa", "seeds": [4]}])[0]
    assert load(tmp_path, [task.model_dump(mode="json")])[0] == task


def test_a_task_of_the_users_own_needs_no_entry(tmp_path):
    own = {"name": "mine", "family": "token_classification", "format": "iob", "path": "x",
           "files": {"train": ["a"], "test": ["b"]}}  # fmt: skip
    assert load(tmp_path, [own])[0].path == "x"
    # A name of the list does not mix its entry into a complete task.
    assert load(tmp_path, [{**own, "name": "chemprot"}])[0].source is None


@pytest.mark.parametrize(
    ("task", "parts"),
    [
        ({"name": "chemprto"}, ["tasks[0].name", "'chemprto'", "line 3", "chemprot"]),
        ({"name": "x", "entry": "gda"}, ["tasks[0].entry", "'gda'", "line 3", "'gad'"]),
        ({"seeds": [1]}, ["no entry 'None'", "line 3"]),
        ({"name": "gad", "seds": [1]}, ["evaluate.tasks[0].seds", "line 4", "tasks[0].seeds"]),
        ({"name": "gad", "fine_tuning": {"epoch": 1}}, ["fine_tuning.epoch'", "line 5", "epochs"]),
        ({"name": "gad", "fine_tuning": {"epochs": 0}}, ["fine_tuning.epochs", "line 5", "1"]),
        ({"name": "gad", "source": "x", "path": "y"}, ["tasks[0]", "either source", "line 3"]),
        ({"name": "gad", "pair": {"markers": ["a"]}}, ["pair", "two or four"]),
        ({"name": "gad", "format": "xml"}, ["tasks[0].format", "line 4", "'jsonl'"]),
    ],
)
def test_errors_name_key_place_and_remedy(tmp_path, task, parts):
    with pytest.raises(ConfigError) as error:
        load(tmp_path, [task])
    for part in parts:
        assert part in str(error.value)


def test_what_is_no_list_of_tasks_is_left_to_the_model():
    for values in (
        {},
        {"evaluate": None},
        {"evaluate": {"tasks": 3}},
        {"evaluate": {"tasks": [3]}},
    ):
        assert with_entries(values, str) == values


def test_a_list_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match="list of tasks cannot be read"):
        load_entries(tmp_path / "none.yaml")
