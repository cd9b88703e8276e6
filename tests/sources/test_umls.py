"""The download of UMLS: whole archives, and a key that is nowhere but in the request."""

import hashlib
import io
import json
import logging
import traceback
import zipfile
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from balign.errors import SourceError
from balign.sources.settings import SourcesSettings
from balign.sources.umls import KEY, sources_umls

SECRET = "5ecre7-k3y/with+odd=signs&0123"
FORMS = (SECRET, "5ecre7-k3y%2Fwith%2Bodd%3Dsigns%260123", "5ecre7-k3y/with%2Bodd%3Dsigns%260123")


def archive():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as made:
        made.writestr("2026AA/META/MRCONSO.RRF", "C0000001|ENG|\n" * 40_000)
    return packed.getvalue()


BODY = archive()
MD5 = hashlib.md5(BODY).hexdigest()


@pytest.fixture
def own(web, monkeypatch):
    """Settings that point at the local server, and the key in the environment."""
    monkeypatch.setenv(KEY, SECRET)
    return SourcesSettings(
        retries=2, backoff_seconds=0.01, timeout_seconds=10, umls_url=web.url("").rstrip("/")
    )


@pytest.fixture
def spy(tmp_path):
    """Hear all that anyone logs, at the lowest level; no key in it and in no file at the end."""
    said = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(f"{record.getMessage()} {record.__dict__}")
    # A command that a test ran before may have cut balign's logger off the root.
    loggers = [logging.getLogger(name) for name in (None, "balign", "urllib3")]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        logger.addHandler(handler)
    yield said
    for logger, (level, propagate) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.propagate = propagate
        logger.removeHandler(handler)
    assert_no_key("".join(said))
    for path in tmp_path.rglob("*"):
        assert_no_key(str(path))
        if path.is_file():
            assert not any(form.encode() in path.read_bytes() for form in FORMS)


def assert_no_key(text):
    for form in FORMS:
        assert form not in text
    assert "5ecre7" not in text


def assert_clean(error):
    """Check an exception, its whole chain and every way of printing it."""
    waiting, seen = [error], []
    while waiting:
        one = waiting.pop()
        if one is None or one in seen:
            continue
        seen.append(one)
        assert_no_key(str(one) + repr(one) + repr(one.args) + repr(getattr(one, "__dict__", "")))
        waiting += [one.__cause__, one.__context__]
    assert_no_key("".join(traceback.format_exception(error)))
    assert error.__context__ is None


def fails(output, own, match, release="2026AA", md5=MD5):
    with pytest.raises(SourceError, match=match) as caught:
        sources_umls(output, release, "metathesaurus-full-subset", md5, own)
    assert_clean(caught.value)
    assert not output.exists()
    return str(caught.value)


def test_an_archive_comes_whole(web, own, tmp_path, spy):
    web.serve(BODY)
    output = tmp_path / "new" / "umls.zip"
    sources_umls(output, "2026AA", "level-0", MD5, own)
    assert output.read_bytes() == BODY
    assert [path.name for path in output.parent.iterdir()] == ["umls.zip"]
    query = parse_qs(urlsplit(web.paths[0]).query)
    url = "https://download.nlm.nih.gov/umls/kss/2026AA/umls-2026AA-metathesaurus-level-0.zip"
    assert query == {"url": [url], "apiKey": [SECRET]}
    sources_umls(output, "2026AA", "level-0", MD5.upper(), own)
    assert len(web.paths) == 1
    assert any("GET /download" in line and "apiKey=***" in line for line in spy)


def test_the_current_release_is_asked_for_without_the_key(web, own, tmp_path, spy):
    web.serve(json.dumps([{"releaseVersion": "2026AB", "current": True}]).encode())
    web.serve(BODY)
    sources_umls(tmp_path / "umls.zip", "current", "mrconso", None, own)
    assert web.paths[0] == "/releases?releaseType=umls-metathesaurus-full-subset&current=true"
    assert "umls-2026AB-mrconso.zip" in web.paths[1]


@pytest.mark.parametrize("text", ["[]", "no JSON", '[{"releaseVersion": 3}]', "{}"])
def test_a_list_of_releases_that_is_none(web, own, tmp_path, text):
    web.serve(text.encode())
    fails(tmp_path / "umls.zip", own, "list of releases cannot be read", release="current")


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key(web, own, tmp_path, spy, status):
    web.status(status)
    said = fails(tmp_path / "umls.zip", own, f"HTTP {status}")
    assert "refused the key" in said
    assert "uts/profile" in said


def test_an_unknown_release(web, own, tmp_path, spy):
    web.status(404)
    assert "no such release" in fails(tmp_path / "umls.zip", own, "HTTP 404")
    assert "2026AA" in fails(tmp_path / "umls.zip", own, "not the name", release="../../x")


def test_a_failing_server_is_asked_again(web, own, tmp_path, spy):
    for _ in range(3):
        web.status(500)
    fails(tmp_path / "umls.zip", own, "HTTP 500")
    assert len(web.paths) == 3


def test_a_login_page_instead_of_the_archive(web, own, tmp_path, spy):
    web.serve(b"<!DOCTYPE html><html>" + SECRET.encode())
    assert "refused the key" in fails(tmp_path / "umls.zip", own, "HTML page")


def test_a_redirect_that_shows_the_key_to_another_host(web, own, tmp_path, spy):
    elsewhere = web.url("file").replace("127.0.0.1", "localhost")
    for form in FORMS:
        web.status(302, Location=f"{elsewhere}?token={form}")
        fails(tmp_path / "umls.zip", own, "a redirect to localhost that carries the key")
    assert len(web.paths) == len(FORMS)


def test_a_redirect_without_the_key_is_followed(web, own, tmp_path, spy):
    web.status(302, Location=web.url("signed").replace("127.0.0.1", "localhost"))
    web.serve(BODY)
    sources_umls(tmp_path / "umls.zip", "2026AA", "full-release", MD5, own)
    assert web.paths[1] == "/signed"
    assert_no_key(str(web.requests[1]))


def test_a_dropped_connection_is_resumed(web, own, tmp_path, spy):
    web.drop(BODY, after=300_000, ETag='"one"')
    web.serve(BODY, ETag='"one"')
    sources_umls(tmp_path / "umls.zip", "2026AA", "level-0", None, own)
    assert (tmp_path / "umls.zip").read_bytes() == BODY
    assert web.requests[1]["Range"] == "bytes=300000-"
    assert parse_qs(urlsplit(web.paths[1]).query)["apiKey"] == [SECRET]


def test_a_later_call_goes_on_where_one_gave_up(web, own, tmp_path, spy):
    for _ in range(3):
        web.drop(BODY, after=200_000, ETag='"one"')
    fails(tmp_path / "umls.zip", own, "connection broke")
    web.serve(BODY, ETag='"one"')
    sources_umls(tmp_path / "umls.zip", "2026AA", "metathesaurus-full-subset", MD5, own)
    assert web.requests[-1]["Range"].startswith("bytes=")
    assert [path.name for path in tmp_path.iterdir()] == ["umls.zip"]


def test_nobody_listens(web, own, tmp_path, spy):
    nowhere = own.model_copy(update={"umls_url": "http://127.0.0.1:9", "retries": 0})
    fails(tmp_path / "umls.zip", nowhere, "no connection")


@pytest.mark.parametrize(
    "error",
    [
        requests.exceptions.InvalidURL(f"bad http://x?apiKey={SECRET}"),
        requests.exceptions.ConnectionError(f"Max retries: /download?apiKey={SECRET}"),
        requests.exceptions.SSLError(f"http://x?apiKey={SECRET}"),
        requests.exceptions.Timeout(f"http://x?apiKey={SECRET}"),
        ValueError(f"http://x?apiKey={SECRET}"),
        OSError(28, "No space left on device", f"?apiKey={SECRET}"),
    ],
)
def test_exceptions_whose_text_holds_the_address(own, tmp_path, spy, monkeypatch, error):
    def fail(*_, **__):
        raise error from RuntimeError(SECRET)

    monkeypatch.setattr(requests.Session, "send", fail)
    fails(tmp_path / "umls.zip", own, "UMLS metathesaurus-full-subset: ")


def test_wrong_md5_and_damaged_archive(web, own, tmp_path, spy):
    web.serve(BODY)
    fails(tmp_path / "umls.zip", own, "wrong md5", md5="0" * 32)
    broken = bytearray(BODY)
    broken[5000] ^= 1
    web.serve(bytes(broken))
    fails(tmp_path / "umls.zip", own, "came damaged", md5=None)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("key", "match"), [(None, "is not set"), ("  ", "is not set")])
def test_no_key(own, tmp_path, monkeypatch, key, match):
    monkeypatch.delenv(KEY)
    if key is not None:
        monkeypatch.setenv(KEY, key)
    with pytest.raises(SourceError, match=match):
        sources_umls(tmp_path / "umls.zip", "2026AA", "level-0", None, own)


def test_a_key_that_is_none_is_not_shown(own, tmp_path, monkeypatch):
    monkeypatch.setenv(KEY, f"{SECRET} {SECRET}")
    with pytest.raises(SourceError, match="holds is no key") as caught:
        sources_umls(tmp_path / "umls.zip", "2026AA", "level-0", None, own)
    assert_clean(caught.value)


def test_arguments_that_cannot_be_right(own, tmp_path):
    with pytest.raises(SourceError, match="no archive 'half'"):
        sources_umls(tmp_path / "umls.zip", "2026AA", "half", None, own)
    with pytest.raises(SourceError, match="32 hexadecimal"):
        sources_umls(tmp_path / "umls.zip", "2026AA", "level-0", "abc", own)


def test_the_key_goes_to_no_unencrypted_server():
    for url in ("http://example.org", "ftp://example.org", "http://localhost.example.org/"):
        with pytest.raises(ValueError, match="umls_url"):
            SourcesSettings(umls_url=url)


def test_the_command_prints_no_key(web, own, tmp_path, balign):
    config = tmp_path / "config.yaml"
    config.write_text(f"sources: {{umls_url: '{own.umls_url}', retries: 0}}\n")
    web.status(403)
    run = balign(
        "--verbose", "sources", "umls", "--release", "2026AA", "--output", tmp_path / "umls.zip",
        "--config", config, **{KEY: SECRET},
    )  # fmt: skip
    assert run.returncode == 1
    assert "refused the key" in run.stderr
    assert_no_key(run.stdout + run.stderr)
