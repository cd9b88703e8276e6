"""The rules of the stage as Snakemake sees them: what makes an index stale."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def dry_run(root, tmp_path):
    """Ask Snakemake whether an index is to be built again; the list of words was edited last."""
    stop_words = tmp_path / "everyday.txt"
    results = tmp_path / "results"
    (results / "kg").mkdir(parents=True)
    (results / "linking" / "index").mkdir(parents=True)
    database = results / "kg" / "kg.duckdb"
    for seconds, path in enumerate((database, results / "linking" / "index", stop_words), 1):
        path.touch()
        os.utime(path, (seconds, seconds))
    config = tmp_path / "config.yaml"

    def run(**linking):
        dictionary = {"stop_words": str(stop_words)}
        paths = {"data": str(tmp_path / "data"), "results": str(results)}
        config.write_text(
            json.dumps({"paths": paths, "linking": {"dictionary": dictionary, **linking}})
        )
        command = [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "1"]
        command += ["--rerun-triggers", "mtime", "--allowed-rules", "linking_index"]
        command += ["--configfile", str(config), "--", str(results / "linking" / "index")]
        done = subprocess.run(
            command,
            cwd=root,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    return run


def test_an_edited_list_of_everyday_words_makes_the_index_stale(dry_run, tmp_path):
    assert f"Updated input files: {tmp_path / 'everyday.txt'}" in dry_run()
    # A backend that reads no list has the same index as before.
    (tmp_path / "given").mkdir()
    pubtator = {"backend": "pubtator", "pubtator": {"folder": str(tmp_path / "given")}}
    assert "Nothing to be done" in dry_run(**pubtator)
