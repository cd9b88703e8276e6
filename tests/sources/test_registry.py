"""The registry: its own checks, and the shipped file."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from balign.errors import ConfigError, SourceError
from balign.sources.places import PackagePlace, UrlPlace, parse_place
from balign.sources.registry import entry_digest, load_registry, manifest_path

SHIPPED = Path(__file__).parents[2] / "resources" / "sources.yaml"


@pytest.fixture
def write(tmp_path, make_entry):
    """Write a registry of one good entry after a change to it; return its path."""

    def run(change=lambda entry: None, repeat=1):
        entry = make_entry({"a.txt": (b"a", ["https://example.org/a"])}).model_dump(mode="json")
        change(entry)
        path = tmp_path / "sources.yaml"
        path.write_text(yaml.safe_dump({"sources": [entry] * repeat}))
        return path

    return run


def test_good(write, tmp_path):
    registry = load_registry(write())
    entry = registry.entry("toy")
    assert entry.bytes == 1
    path = manifest_path(tmp_path, entry)
    assert path == tmp_path / "sources" / "toy" / "1" / "MANIFEST.json"


def test_unknown_source_names_the_nearest(write):
    with pytest.raises(SourceError, match="did you mean 'toy'"):
        load_registry(write()).entry("tony")


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda e: e.update(license=1), ["unknown key 'license'", "did you mean 'licence'"]),
        (
            lambda e: e["files"][0].update(sha265="x"),
            ["unknown key 'sha265'", "did you mean 'sha256'", "key sources[0].files[0].sha265"],
        ),
        (lambda e: e.pop("licence"), ["the key 'licence' is missing", "entry 'toy'"]),
        (lambda e: e.update(format="zip"), ["'obo'", "given: 'zip'"]),
        (lambda e: e.update(version="../1"), ["sources[0].version"]),
        (lambda e: e.update(name=""), ["sources[0].name"]),
        (lambda e: e.update(files=[]), ["sources[0].files"]),
        (lambda e: e["files"].append(e["files"][0]), ["used more than once: a.txt"]),
        (lambda e: e["files"][0].update(name="../a"), ["plain relative path"]),
        (lambda e: e["files"][0].update(name="/a"), ["plain relative path"]),
        (lambda e: e["files"][0].update(name="MANIFEST.json"), ["plain relative path"]),
        (lambda e: e["files"][0].update(sha256="ABC"), ["sources[0].files[0].sha256"]),
        (lambda e: e["files"][0].update(bytes=-1), ["sources[0].files[0].bytes"]),
        (lambda e: e["files"][0].update(places=[]), ["sources[0].files[0].places"]),
        (
            lambda e: e["files"][0].update(places=["ftp://me:hunter2@example.org/x"]),
            ["ftp://***@example.org/x", "neither an http(s)"],
        ),
    ],
)
def test_errors_say_where(write, change, parts):
    path = write(change)
    with pytest.raises(ConfigError) as caught:
        load_registry(path)
    for part in [str(path), *parts]:
        assert part in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_names_are_unique(write):
    with pytest.raises(ConfigError, match="used more than once: toy"):
        load_registry(write(repeat=2))


@pytest.mark.parametrize("text", ["", "sources", "sources: 3", "other: []", "a: [", "sources: []"])
def test_other_files(tmp_path, text):
    path = tmp_path / "sources.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_registry(path)
    assert str(path) in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load_registry(tmp_path / "none.yaml")


def test_digest_covers_all_but_the_description(make_entry):
    files = {"a.txt": (b"a", ["https://example.org/a"])}
    digest = entry_digest(make_entry(files))
    assert entry_digest(make_entry(files, what="Other words.")) == digest
    assert entry_digest(make_entry(files, licence="MIT")) != digest
    assert entry_digest(make_entry({"a.txt": (b"b", ["https://example.org/a"])})) != digest


def test_import_is_light():
    code = "import sys, balign.sources.registry; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for heavy in ("requests", "numpy", "rich", "typer"):
        assert f"'{heavy}'" not in done.stdout


def test_shipped_registry():
    registry = load_registry(SHIPPED)
    assert {"hpo", "mondo", "doid", "mesh", "pubmed-sample", "minilm", "bc5cdr"} <= {
        entry.name for entry in registry.sources
    }
    for entry in registry.sources:
        for file in entry.files:
            first = parse_place(file.places[0])
            # What a run cannot do without needs no network besides the package index.
            assert isinstance(first, UrlPlace if entry.optional else PackagePlace), file.name
            assert file.bytes > 0


def test_shipped_registry_has_one_digest_an_archive():
    digests = {}
    for entry in load_registry(SHIPPED).sources:
        for file in entry.files:
            for place in map(parse_place, file.places):
                if isinstance(place, PackagePlace):
                    archive = place.archive
                    key = archive.package, archive.kind
                    assert digests.setdefault(key, archive) == archive


def test_shipped_registry_names_no_private_place():
    assert "file:" not in SHIPPED.read_text(encoding="utf-8")
