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


@pytest.mark.parametrize("backend", ["scispacy", "dense", "pubtator"])
def test_same_bytes_by_command_line_whatever_the_hash_seed_and_threads(
    backend, graph, make_corpus, encoder_folder, root, tmp_path
):
    abstracts, sentences = make_corpus(CITATIONS)
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "a.txt").write_text(
        f"7|t|{' '.join(CITATIONS[7])}\n7|a|\n7\t0\t13\tHeart failure\tDisease\tC0018801\n"
    )
    linking = {
        "backend": backend,
        "dictionary": {"stop_words": str(root / "resources/stop_words.txt")},
        "dense": {"model": str(encoder_folder), "min_score": 0},
        "pubtator": {"folder": str(tmp_path / "given")},
    }
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"linking": linking}))
    digests = set()
    for seed, threads in (("1", "1"), ("2", "2")):
        out = tmp_path / seed
        environment = {
            **os.environ,
            "PYTHONPATH": str(root / "workflow"),
            "PYTHONHASHSEED": seed,
            "POLARS_MAX_THREADS": threads,
            "OMP_NUM_THREADS": threads,
        }
        for arguments in (
            ["index", "--database", graph, "--output", out / "index", "--config", config],
            ["link", "--index", out / "index", "--abstracts", abstracts, "--sentences", sentences,
             "--output", out / "m.parquet", "--counts", out / "m.json", "--config", config],
            ["count", "--database", graph, "--abstracts", abstracts, "--mentions",
             out / "m.parquet", "--counts", out / "m.json", "--output", out / "counts.json"],
        ):  # fmt: skip
            command = [sys.executable, "-m", "balign", "linking", *map(str, arguments)]
            subprocess.run(command, check=True, env=environment, capture_output=True)
        files = sorted(path for path in out.rglob("*") if path.is_file())
        whole = b"".join(path.name.encode() + path.read_bytes() for path in files)
        digests.add((len(files), hashlib.sha256(whole).hexdigest()))
        assert json.loads((out / "counts.json").read_text())["mentions"] > 0
    assert len(digests) == 1
