"""The commands of the stage, in processes of their own."""

import hashlib

import pytest
import yaml

from balign.files import read_json, write_json


@pytest.fixture
def project(tmp_path, make_entry, balign):
    """A registry of a good source, an optional one that is nowhere, and a bad one; run commands."""
    good = tmp_path / "good.txt"
    good.write_bytes(b"good")
    nowhere = [(tmp_path / "nowhere").as_uri()]
    entries = [
        make_entry({"good.txt": (b"good", [good.as_uri()])}, name="good"),
        make_entry({"x.txt": (b"x", nowhere)}, name="maybe", optional=True),
        make_entry({"x.txt": (b"x", nowhere)}, name="bad"),
        make_entry({"x.txt": (b"x", nowhere)}, name="worse"),
    ]
    registry = tmp_path / "sources.yaml"
    values = {"sources": [entry.model_dump(mode="json") for entry in entries]}
    registry.write_text(yaml.safe_dump(values))
    config = tmp_path / "config.yaml"
    data = tmp_path / "data"
    config.write_text(
        yaml.safe_dump({"paths": {"data": str(data)}, "sources": {"registry": str(registry)}})
    )

    def run(*arguments):
        return balign("sources", *arguments, "--config", config)

    run.data = data
    return run


def _states(project):
    done = project("list")
    assert done.returncode == 0, done.stderr
    rows = [line.split("│") for line in done.stdout.splitlines() if line.startswith("│")]
    return {row[1].strip(): row[4].strip() for row in rows}


def test_fetch_list_retry_verify(project):
    assert _states(project) == {
        "good": "absent",
        "maybe": "absent (optional)",
        "bad": "absent",
        "worse": "absent",
    }
    done = project("fetch", "good", "maybe")
    assert done.returncode == 0, done.stderr
    assert "source 'maybe' is optional and is skipped" in done.stderr
    states = _states(project)
    assert (states["good"], states["maybe"]) == ("present", "skipped (optional)")
    done = project("verify")
    assert (done.returncode, done.stdout) == (0, "files right: 1\n")
    done = project("retry")
    assert (done.returncode, done.stdout) == (0, "to be tried again: maybe\n")
    assert not (project.data / "sources/maybe/1/MANIFEST.json").exists()
    assert _states(project)["maybe"] == "absent (optional)"
    (project.data / "sources/good/1/good.txt").unlink()
    assert _states(project)["good"] == "damaged"


def test_verify_finds_changed_and_missing_files(project):
    project("fetch", "good")
    (project.data / "sources/good/1/good.txt").write_bytes(b"evil")
    model = project.data / "encoders/model"
    model.mkdir(parents=True)
    manifest = read_json(project.data / "sources/good/1/MANIFEST.json")
    digest = hashlib.sha256(b"w").hexdigest()
    manifest["files"] = {"weights": {"sha256": digest, "bytes": 1, "place": "hub:org/model"}}
    write_json(model / "MANIFEST.json", manifest)
    done = project("verify")
    assert done.returncode == 1
    assert "2 of 2 files are missing or wrong" in done.stderr
    assert "good.txt: wrong sha256" in done.stderr
    assert "weights: missing" in done.stderr
    assert "Traceback" not in done.stderr


def test_one_failure_does_not_keep_the_others_away(project):
    done = project("fetch", "--all")
    assert done.returncode == 1
    for name in ("bad", "worse"):
        assert f"source '{name}' 1: no place gave x.txt" in done.stderr
    assert "Traceback" not in done.stderr
    assert _states(project)["good"] == "present"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["goood"], "did you mean 'good'?"),
        ([], "give the names of sources, or --all"),
        (["good", "--all"], "give the names of sources, or --all"),
    ],
)
def test_wrong_arguments(project, arguments, said):
    done = project("fetch", *arguments)
    assert done.returncode != 0
    assert said in done.stderr
