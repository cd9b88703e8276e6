"""The benchmark of what objectives cost, and the page that tells its figures."""

import re
from argparse import Namespace
from typing import get_args

import pytest
from benchmarks.pretrain import objectives

from balign.pretrain.settings import ModelSettings, ObjectiveSettings


def types():
    """Every type of objective that a configuration may have."""
    union = get_args(ModelSettings.model_fields["objectives"].annotation)[0]
    members = get_args(get_args(union)[0])
    assert all(issubclass(one, ObjectiveSettings) for one in members)
    return {get_args(one.model_fields["type"].annotation)[0] for one in members}


def test_every_objective_is_measured_and_explained(root):
    measured = {one["type"] for some in objectives.OBJECTIVES.values() for one in some}
    assert measured == types()
    page = (root / "docs/objectives.md").read_text()
    for name in [*types(), "kge"]:
        assert re.search(rf"^\| `{name}`", page, re.MULTILINE), f"no row of {name}"
        assert re.search(rf"^- `{name}`", page, re.MULTILINE), f"no equation of {name}"


@pytest.mark.parametrize("name", ["kgi", "kge"])
def test_a_step_is_measured(world, monkeypatch, name):
    if name != "kge":
        monkeypatch.setitem(objectives.OBJECTIVES, name, [{"type": name, "triples": 6}])
    arguments = Namespace(one=name, steps=2, batch=4, threads=1, encoder=world.encoder,
                          tokens=world.tokens, graph=world.graph)  # fmt: skip
    figures = (objectives.edges_step if name == "kge" else objectives.text_step)(arguments)
    assert figures["seconds"] > 0 and figures["processor"] > 0
    assert (figures["pieces"] > 0) == (name != "kge")
