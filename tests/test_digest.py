import pytest

from balign.config import Config
from balign.digest import code_digest, reached_modules
from balign.steps import STEPS, settings_of, stamp

FILES = {
    "__init__.py": "",
    "a.py": '"""Doc."""\nfrom pkg.b import f\ndef g():\n    """Doc."""\n    import pkg.sub.d\n',
    "b.py": "def f():\n    return 1  # one\n",
    "c.py": "X = 1\n",
    "sub/__init__.py": "",
    "sub/d.py": "from . import e\nfrom ..b import f\n",
    "sub/e.py": "Y = 1\n",
}


@pytest.fixture
def package(tmp_path):
    def make(**changes):
        folder = tmp_path / str(len(list(tmp_path.iterdir()))) / "pkg"
        for name, text in {**FILES, **changes}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        return folder

    return make


def test_reach_follows_plain_late_and_relative_imports(package):
    reach = reached_modules("pkg.a", package())
    assert reach == {"pkg.a", "pkg.b", "pkg.sub", "pkg.sub.d", "pkg.sub.e"}


def test_comments_docstrings_and_layout_do_not_count(package):
    before = code_digest("pkg.a", package())
    changes = {
        "a.py": FILES["a.py"].replace("Doc.", "Other words."),
        "b.py": "# A comment.\n\ndef f():\n    '''New docstring.'''\n\n    return 1\n",
    }
    assert code_digest("pkg.a", package(**changes)) == before


@pytest.mark.parametrize(("name", "stale"), [("b.py", True), ("sub/e.py", True), ("c.py", False)])
def test_only_a_change_in_reach_counts(package, name, stale):
    before = code_digest("pkg.a", package())
    after = code_digest("pkg.a", package(**{name: FILES[name] + "\nZ = 2\n"}))
    assert (before != after) == stale


def test_a_module_that_does_not_exist_is_an_error(package):
    with pytest.raises(ModuleNotFoundError, match=r"pkg\.nowhere"):
        code_digest("pkg.nowhere", package())


@pytest.mark.parametrize("step", sorted(STEPS))
def test_every_step_has_code_and_settings_and_reaches_no_command_line(step):
    wildcards = {"model": "bali", "task": "check-tags", "kge": "transe"}
    config = Config.model_validate({"pretrain": {"kge": [{"name": "transe"}]}})
    record = stamp(step, config, **wildcards)
    assert len(record["code"]) == 16
    picked = [key.format(**wildcards) for key in STEPS[step].keys if "[" in key]
    assert all(record[key] is not None for key in picked)
    reach = reached_modules(STEPS[step].module)
    assert not {"balign.cli", "balign.config", "balign.steps"} & reach
    stage = step.split("_")[0]
    # Data flow one way: a step reaches no stage after its own.
    order = ["sources", "kg", "corpus", "linking", "graph", "pretrain", "evaluate", "report"]
    later = order[order.index(stage) + 1 :]
    assert not [name for name in reach if name.split(".")[1] in later]


def test_a_model_is_picked_by_name():
    settings = settings_of("pretrain_train", Config(), model="mlm")
    assert settings["pretrain.models[mlm]"]["objectives"][0]["type"] == "mlm"
