import hashlib
import json
import os
import subprocess
import sys

import pytest

from balign.errors import DataError
from balign.linking.backends import BACKENDS, backends_used, linking_index, open_linker
from balign.linking.settings import LinkingSettings

CITATIONS = {
    7: ["Heart failure (HF) in asthma.", "HF again, bronchial asthma, TP53 gene"],
    9: [],
    11: ["Aspirin, cardiac failure"],
}

COMMANDS = """
import json, sys
from balign.cli import app
for arguments in json.loads(sys.argv[1]):
    app(["linking", *arguments], standalone_mode=False)
"""


def test_every_backend_has_settings_and_a_threshold():
    for name in BACKENDS:
        assert 0 <= LinkingSettings().of(name).min_score <= 1


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, ("dictionary",)),
        ({"backend": "scispacy"}, ("scispacy", "dictionary")),
        ({"backend": "scispacy", "scispacy": {"pipeline": "x"}}, ("scispacy",)),
        ({"backend": "dense"}, ("dense", "dictionary")),
        ({"backend": "dense", "dense": {"spans": "scispacy"}}, ("dense", "scispacy", "dictionary")),
        ({"backend": "bern2", "bern2": {"folder": "x"}}, ("bern2",)),
    ],
)
def test_the_backends_that_a_configuration_uses(settings, wanted):
    assert backends_used(LinkingSettings(**settings)) == wanted


def test_an_index_of_another_backend_or_none(graph, root, tmp_path):
    stop = {"stop_words": str(root / "resources/stop_words.txt")}
    settings = LinkingSettings(dictionary=stop)
    with pytest.raises(DataError, match="no index"):
        open_linker("dictionary", tmp_path / "nowhere", settings)
    linking_index(graph, settings, tmp_path / "index")
    with pytest.raises(DataError, match="of the backend 'dictionary', not of 'scispacy'"):
        open_linker("scispacy", tmp_path / "index", settings)


def test_same_bytes_whatever_the_hash_seed_the_threads_and_the_workers(
    graph, make_corpus, encoder_folder, root, tmp_path
):
    """Each file is linked by a process of its own, and two by one; seeds and threads differ."""
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "a.txt").write_text(
        f"7|t|{' '.join(CITATIONS[7])}\n7|a|\n7\t0\t13\tHeart failure\tDisease\tC0018801\n"
    )
    corpora = {}
    for name, citations in (("one", CITATIONS), ("two", {**CITATIONS, 13: ["HF; TP53 gene (TG)"]})):
        corpora[name] = [path.rename(tmp_path / f"{name}-{path.name}") for path in
                         make_corpus(citations)]  # fmt: skip
    linking = {
        "dictionary": {"stop_words": str(root / "resources/stop_words.txt")},
        "dense": {"model": str(encoder_folder), "min_score": 0},
        "pubtator": {"folder": str(tmp_path / "given")},
    }
    digests = {}
    for seed, names in (("1", ("one", "two")), ("2", ("two",)), ("3", ("one",))):
        commands = []
        for backend in ("dictionary", "scispacy", "dense", "pubtator"):
            config, out = tmp_path / f"{backend}.yaml", tmp_path / seed / backend
            config.write_text(json.dumps({"linking": {"backend": backend, **linking}}))
            commands.append(
                ["index", "--database", graph, "--output", out / "index", "--config", config]
            )
            for name in names:
                table, counts = out / f"{name}.parquet", out / f"{name}.json"
                abstracts, sentences = corpora[name]
                commands += [
                    ["link", "--index", out / "index", "--abstracts", abstracts, "--sentences",
                     sentences, "--output", table, "--counts", counts, "--config", config],
                    ["count", "--database", graph, "--abstracts", abstracts, "--mentions", table,
                     "--counts", counts, "--output", out / f"{name}-all.json"],
                ]  # fmt: skip
        subprocess.run(
            [sys.executable, "-c", COMMANDS, json.dumps(commands, default=str)],
            check=True,
            env={
                **os.environ,
                "PYTHONPATH": str(root / "workflow"),
                "PYTHONHASHSEED": seed,
                "POLARS_MAX_THREADS": seed,
                "OMP_NUM_THREADS": seed,
            },
        )
        for path in (tmp_path / seed).rglob("*"):
            if path.is_file():
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                digests.setdefault(path.relative_to(tmp_path / seed), set()).add(digest)
    assert all(len(found) == 1 for found in digests.values()), digests
    for backend in ("dictionary", "scispacy", "dense", "pubtator"):
        for name in corpora:
            counts = json.loads((tmp_path / "1" / backend / f"{name}-all.json").read_text())
            assert counts["mentions"] > 0
