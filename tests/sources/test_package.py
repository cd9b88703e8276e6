"""Members of packages, through a real pip and a folder that stands for the index."""

import importlib.util
import os
import sys

import pytest

from balign.sources.package import PackageArchives
from balign.sources.places import PlaceError, parse_place

DATA = b"some data\n" * 100


@pytest.fixture
def extract(tmp_path):
    """Extract a member and return it; all calls share the archives."""
    archives = PackageArchives(tmp_path / "archives")

    def run(place, size=1000):
        target = tmp_path / "target"
        target.unlink(missing_ok=True)
        archives.extract(parse_place(place), target, size)
        return target.read_bytes()

    return run


def test_wheel_is_downloaded_once(index, extract, caplog):
    index.wheel({"toy/a.txt": DATA, "toy/b.txt": b"b"})
    caplog.set_level("INFO", "balign")
    assert extract("pypi:toy-data==1.0/toy/a.txt?kind=wheel") == DATA
    assert extract("pypi:toy-data==1.0/toy/b.txt?kind=wheel", 1) == b"b"
    with pytest.raises(PlaceError, match=r"has no member toy/c.txt"):
        extract("pypi:toy-data==1.0/toy/c.txt?kind=wheel")
    with pytest.raises(PlaceError, match="the member has 1 bytes, the registry 1,000"):
        extract("pypi:toy-data==1.0/toy/b.txt?kind=wheel")
    assert caplog.text.count("asking pip") == 1


def test_source_archive_is_not_run(index, extract):
    sha256 = index.sdist({"data/a.txt": DATA}, links={"data/b.txt": "/etc/passwd"})
    place = "pypi:toy-data==1.0/toy_data-1.0/data/{}.txt?kind=sdist#sha256=" + sha256
    assert extract(place.format("a")) == DATA
    with pytest.raises(PlaceError, match=r"b.txt is not a plain file"):
        extract(place.format("b"))
    assert not index.trace.exists()


def test_source_archive_with_another_digest_is_refused_unopened(index, extract):
    index.sdist({"data/a.txt": DATA})
    place = "pypi:toy-data==1.0/toy_data-1.0/data/a.txt?kind=sdist#sha256=" + "0" * 64
    with pytest.raises(PlaceError, match=r"pip download failed: .*HASHES"):
        extract(place)
    assert not index.trace.exists()


def test_package_that_the_index_lacks(index, extract, caplog, tmp_path):
    caplog.set_level("INFO", "balign")
    for _ in range(2):
        with pytest.raises(
            PlaceError, match=r"pip download failed: ERROR.*toy-data==2.0"
        ) as caught:
            extract("pypi:toy-data==2.0/a?kind=wheel")
    assert caplog.text.count("asking pip") == 1  # the failure is remembered
    assert str(tmp_path / "archives") not in str(caught.value)


def test_archive_with_hostile_names_and_links(index, extract, tmp_path):
    index.wheel(
        {"../../escaped.txt": DATA, "toy/a.txt": DATA, "toy/link": b"/etc/passwd"}, ("toy/link",)
    )
    with pytest.raises(PlaceError, match="toy/link is not a plain file"):
        extract("pypi:toy-data==1.0/toy/link?kind=wheel", 11)
    assert extract("pypi:toy-data==1.0/toy/a.txt?kind=wheel") == DATA
    assert not list(tmp_path.rglob("escaped.txt"))


def test_member_damaged_in_the_archive(index, extract):
    index.wheel({"toy/a.txt": DATA})
    (wheel,) = index.folder.iterdir()
    wheel.write_bytes(wheel.read_bytes().replace(b"some data", b"same data", 1))
    with pytest.raises(PlaceError, match="is damaged: Bad CRC-32"):
        extract("pypi:toy-data==1.0/toy/a.txt?kind=wheel")


def test_python_without_pip(index, extract, tmp_path, monkeypatch):
    index.wheel({"toy/a.txt": DATA})
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    place = "pypi:toy-data==1.0/toy/a.txt?kind=wheel"
    with pytest.raises(PlaceError, match=r"neither .* nor python3 on the path has pip"):
        extract(place)


def test_pip_of_another_python(index, extract, tmp_path, monkeypatch):
    index.wheel({"toy/a.txt": DATA})
    other = tmp_path / "bin" / "python3"
    other.parent.mkdir()
    other.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    other.chmod(0o755)
    monkeypatch.setenv("PATH", f"{other.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert extract("pypi:toy-data==1.0/toy/a.txt?kind=wheel") == DATA
