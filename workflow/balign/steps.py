"""The table of steps: for each rule, its function's module and the settings it may read.

A rule, its command ``balign <stage> <verb>`` and its function share one name. Snakemake does not
see imports, so every rule carries :func:`stamp` in its ``params``: the settings the step reads and
a digest of the code it reaches. A change in either makes that rule's results stale, and nothing
else does. Downloads are not here: a digest fixes their results, whatever code brings them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from balign.config import Config
from balign.digest import code_digest


@dataclass(frozen=True)
class Step:
    """One rule.

    Attributes:
        module: the module whose reach is digested.
        keys: key paths of the configuration; ``{name}`` picks an item of a list of named settings
            by a wildcard of the rule.
        without: fields of such an item that say how many jobs there are, not what one does.
    """

    module: str
    keys: tuple[str, ...] = ()
    without: frozenset[str] = frozenset()


STEPS: Mapping[str, Step] = {
    "kg_build": Step("balign.kg.build", ("kg",)),
    "corpus_parse": Step("balign.corpus.parse", ("corpus.columns",)),
    "corpus_merge": Step("balign.corpus.merge"),
    "corpus_abstracts": Step("balign.corpus.abstracts"),
    "corpus_guard": Step("balign.corpus.guard"),
    "corpus_select": Step("balign.corpus.select", ("corpus.select",)),
    "corpus_split": Step("balign.corpus.split"),
    "corpus_count": Step("balign.corpus.count"),
    "corpus_read": Step("balign.corpus.read"),
    # rules/common.smk adds the settings and the code of the backends that are used.
    "linking_index": Step("balign.linking.backends", ("linking.backend",)),
    "linking_link": Step(
        "balign.linking.link", ("linking.backend", "linking.max_mentions_per_sentence")
    ),
    "linking_count": Step("balign.linking.count"),
    "graph_build": Step("balign.graph.build", ("graph",)),
    "pretrain_tokenize": Step("balign.pretrain.tokenize", ("pretrain.data", "graph.max_names")),
    "pretrain_kge": Step("balign.pretrain.kge", ("pretrain.kge[{kge}]",)),
    "pretrain_train": Step("balign.pretrain.train", ("pretrain.models[{model}]",)),
    # rules/evaluate.smk adds the code of the task's family.
    "evaluate_predict": Step(
        "balign.evaluate.predict", ("evaluate.tasks[{task}]",), without=frozenset({"seeds"})
    ),
    "evaluate_score": Step("balign.evaluate.score"),
    "evaluate_table": Step("balign.evaluate.table", ("evaluate.bootstrap_samples",)),
    "report_render": Step("balign.report.render", ("report",)),
    "report_provenance": Step("balign.report.provenance", ("report.title",)),
}


def settings_of(step: str, config: Config, **wildcards: str) -> dict[str, Any]:
    """Return the settings that a step reads, by key path, as plain values."""
    found = {}
    without = set(STEPS[step].without)
    for key in STEPS[step].keys:
        value: Any = config
        for part in key.split("."):
            name, _, pick = part.partition("[")
            value = getattr(value, name)
            if pick:
                wanted = pick.rstrip("]").format(**wildcards)
                value = next((item for item in value if item.name == wanted), None)
        if hasattr(value, "model_dump"):
            value = value.model_dump(mode="json", exclude=without)
        found[key.format(**wildcards)] = value
    return found


def stamp(step: str, config: Config, **wildcards: str) -> dict[str, Any]:
    """Return what a rule records in ``params``: its settings and its code's digest."""
    return {**settings_of(step, config, **wildcards), "code": code_digest(STEPS[step].module)}
