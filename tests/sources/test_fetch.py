"""Fetching a source: places in turn, what is kept, what is left behind, what is skipped."""

import json
import os
import signal
import subprocess
import sys

import pytest

from balign.errors import SourceError
from balign.files import read_json
from balign.sources.fetch import sources_fetch
from balign.sources.manifest import open_source

A, B = b"a" * 5000, b"b" * 7000


def _contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "MANIFEST.json"
    }


def test_manifest(web, make_entry, settings, tmp_path):
    web.serve(A)
    url = web.url().replace("http://", "http://me:hunter2@") + "?key=hunter3"
    entry = make_entry({"in/a.txt": (A, [url])}, optional=True)
    source = sources_fetch(entry, settings, tmp_path / "toy" / "1")
    assert source.path("in/a.txt").read_bytes() == A
    assert (source.name, source.version, source.format) == ("toy", "1", "files")
    assert (source.skipped, source.reason, source.homepage) == (False, None, "https://example.org")
    values = read_json(tmp_path / "toy" / "1" / "MANIFEST.json")
    assert values["licence"] == "CC0 1.0"
    assert values["files"]["in/a.txt"] == {
        "bytes": 5000,
        "sha256": entry.files[0].sha256,
        "place": web.url().replace("http://", "http://***@") + "?***",
    }


def test_places_in_turn_all_held_to_one_digest(web, index, make_entry, settings, tmp_path):
    index.wheel({"toy/a.txt": A})
    local = tmp_path / "local file"
    local.write_bytes(b"x" * len(A))
    web.serve(b"y" * len(A))
    places = [
        (tmp_path / "none").as_uri(),
        local.as_uri(),
        web.url(),
        "pypi:toy-data==1.0/toy/a.txt?kind=wheel",
    ]
    source = sources_fetch(make_entry({"a.txt": (A, places)}), settings, tmp_path / "toy")
    assert _contents(source.folder) == {"a.txt": A}


def test_mirror_comes_before_the_url(web, make_entry, settings, tmp_path, monkeypatch):
    mirror = tmp_path / "mirror"
    copy = mirror / web.url("x/a%20b.txt").removeprefix("http://").replace("%20", " ")
    copy.parent.mkdir(parents=True)
    copy.write_bytes(A)
    monkeypatch.setenv("BALIGN_MIRROR", str(mirror))
    entry = make_entry({"a.txt": (A, [web.url("x/a%20b.txt")])})
    source = sources_fetch(entry, settings, tmp_path / "toy")
    assert _contents(source.folder) == {"a.txt": A}
    assert web.requests == []


@pytest.mark.parametrize("content", [None, b"wrong"])
def test_mirror_without_the_file(web, make_entry, settings, tmp_path, monkeypatch, content):
    mirror = tmp_path / "mirror"
    copy = mirror / web.url("a.txt").removeprefix("http://")
    copy.parent.mkdir(parents=True)
    if content:
        copy.write_bytes(content)
    monkeypatch.setenv("BALIGN_MIRROR", str(mirror))
    web.serve(A)
    entry = make_entry({"a.txt": (A, [web.url("a.txt")])})
    assert _contents(sources_fetch(entry, settings, tmp_path / "toy").folder) == {"a.txt": A}


def test_mirror_is_not_left(web, make_entry, settings, tmp_path, monkeypatch):
    (tmp_path / "mirror").mkdir()
    (tmp_path / "secret").write_bytes(A)
    monkeypatch.setenv("BALIGN_MIRROR", str(tmp_path / "mirror"))
    entry = make_entry({"a.txt": (A, [web.url("%2e%2e/../secret")])})
    with pytest.raises(SourceError, match=r"BALIGN_MIRROR: .* is not a plain path"):
        sources_fetch(entry, settings, tmp_path / "toy")


def test_mirror_that_is_no_folder(make_entry, settings, tmp_path, monkeypatch):
    monkeypatch.setenv("BALIGN_MIRROR", str(tmp_path / "none"))
    with pytest.raises(SourceError, match="BALIGN_MIRROR is not a folder"):
        sources_fetch(make_entry({"a": (A, ["file:///a"])}), settings, tmp_path / "toy")
    assert not (tmp_path / "toy").exists()


def test_failure_lists_each_place_and_leaves_nothing(web, index, make_entry, settings, tmp_path):
    web.serve(b"z" * len(A))
    secret = web.url().replace("//", "//me:hunter2@") + "?key=hunter3"
    places = [secret, (tmp_path / "none").as_uri(), "pypi:toy-data==1.0/toy/a?kind=wheel"]
    with pytest.raises(SourceError) as caught:
        sources_fetch(make_entry({"a.txt": (A, places)}), settings, tmp_path / "toy")
    said = str(caught.value)
    for part in (
        "source 'toy' 1: no place gave a.txt",
        "/folder/data.bin?***: wrong sha256",
        "none: No such file or directory",
        "pypi:toy-data==1.0/toy/a?kind=wheel: pip download failed",
        "where: ",
        "hint: ",
    ):
        assert part in said
    assert "hunter" not in said
    assert not (tmp_path / "toy").exists()


def test_what_is_right_is_kept_and_what_is_wrong_replaced(web, make_entry, settings, tmp_path):
    folder = tmp_path / "toy"
    entry = make_entry({"a.txt": (A, [web.url("a")]), "b.txt": (B, [web.url("b")])})
    web.serve(A)
    with pytest.raises(SourceError):
        sources_fetch(entry, settings, folder)
    assert _contents(folder) == {"a.txt": A}  # whole and checked: the next run goes on from here
    assert not (folder / "MANIFEST.json").exists()
    web.serve(B)
    sources_fetch(entry, settings, folder)
    first = (folder / "MANIFEST.json").read_bytes()
    (folder / "b.txt").write_bytes(b"x" * len(B))
    web.serve(B)
    sources_fetch(entry, settings, folder)
    assert _contents(folder) == {"a.txt": A, "b.txt": B}
    assert (folder / "MANIFEST.json").read_bytes() == first
    assert len(web.requests) == 4  # a, b missing, b, b again


def test_manifest_does_not_outlive_a_failure(web, make_entry, settings, tmp_path):
    folder = tmp_path / "toy"
    web.serve(A)
    sources_fetch(make_entry({"a.txt": (A, [web.url()])}), settings, folder)
    with pytest.raises(SourceError):
        sources_fetch(make_entry({"a.txt": (B, [web.url()])}), settings, folder)
    assert not (folder / "MANIFEST.json").exists()


def test_optional_source_is_skipped_with_a_reason(web, make_entry, settings, tmp_path, caplog):
    entry = make_entry({"a.txt": (A, [web.url() + "?key=hunter3"])}, optional=True)
    source = sources_fetch(entry, settings, tmp_path / "toy")
    assert source.skipped
    assert source.files == {}
    assert "no place gave a.txt" in source.reason
    assert "HTTP 404" in source.reason
    assert "is optional and is skipped" in caplog.text
    assert "balign sources retry" in caplog.text
    assert "hunter" not in caplog.text + source.reason
    assert [path.name for path in source.folder.iterdir()] == ["MANIFEST.json"]
    with pytest.raises(SourceError, match=r"source 'toy' was skipped: no place gave a.txt"):
        source.path("a.txt")


def test_skipped_source_is_had_later(web, make_entry, settings, tmp_path):
    entry = make_entry({"a.txt": (A, [web.url()])}, optional=True)
    assert sources_fetch(entry, settings, tmp_path / "toy").skipped
    web.serve(A)
    assert not sources_fetch(entry, settings, tmp_path / "toy").skipped


def test_killed_in_the_middle(web, make_entry, settings, tmp_path):
    entry = make_entry({"a.txt": (A, [web.url("a")]), "b.txt": (B, [web.url("b")])})
    folder = tmp_path / "toy"
    code = (
        "import sys; from pathlib import Path\n"
        "from balign.sources.fetch import sources_fetch\n"
        "from balign.sources.registry import SourceEntry\n"
        "from balign.sources.settings import SourcesSettings\n"
        "entry = SourceEntry.model_validate_json(sys.argv[1])\n"
        "sources_fetch(entry, SourcesSettings(), Path(sys.argv[2]))\n"
    )
    web.serve(A)
    web.hang(B, 3000)
    command = [sys.executable, "-c", code, entry.model_dump_json(), str(folder)]
    path = os.pathsep.join(filter(None, sys.path))
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path})
    assert web.sent_half.wait(60)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (folder / "a.txt").read_bytes() == A
    assert not (folder / "b.txt").exists()
    assert not (folder / "MANIFEST.json").exists()
    web.serve(B)
    sources_fetch(entry, settings, folder)
    assert {path.name for path in folder.iterdir()} == {"a.txt", "b.txt", "MANIFEST.json"}
    assert _contents(folder) == {"a.txt": A, "b.txt": B}


def test_open_source_explains_what_is_wrong(web, make_entry, settings, tmp_path):
    web.serve(A)
    folder = tmp_path / "toy"
    source = sources_fetch(make_entry({"a.txt": (A, [web.url()])}), settings, folder)
    with pytest.raises(SourceError, match=r"has no file 'b.txt'"):
        source.path("b.txt")
    (folder / "a.txt").unlink()
    with pytest.raises(SourceError, match=r"'a.txt' of source 'toy' is gone"):
        source.path("a.txt")
    with pytest.raises(SourceError, match="cannot be read"):
        open_source(tmp_path / "MANIFEST.json")
    for text in ("", "[]", "{}", json.dumps({"files": {}, "name": "x"}), '{"files": {"a": 1}}'):
        (folder / "MANIFEST.json").write_text(text)
        with pytest.raises(SourceError, match="not the manifest"):
            open_source(folder / "MANIFEST.json")
