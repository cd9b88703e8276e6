"""Downloads against a server that misbehaves."""

import email.utils
import hashlib
import time

import pytest

from balign.sources.places import PlaceError
from balign.sources.settings import SourcesSettings
from balign.sources.web import download, fetch_text, looks_like_html

BODY = bytes(range(256)) * 8000  # two blocks of the reader
HALF = len(BODY) // 2
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def get(web, tmp_path, settings):
    """Download BODY and return what arrived."""

    def run(**changes):
        target = tmp_path / "data.bin"
        download(web.url(), target, len(BODY), SHA256, settings.model_copy(update=changes))
        return target.read_bytes()

    return run


def test_truncated_without_length_for_good(web, get):
    for _ in range(4):
        web.serve_without_length(BODY[:HALF])
    with pytest.raises(PlaceError, match=r"truncated: 1,024,000 of 2,048,000 bytes \(4 attempts"):
        get()


def test_whole_file(web, get):
    web.serve(BODY)
    assert get() == BODY
    assert web.requests[0]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("headers", "if_range"),
    [
        ({"ETag": '"one"'}, '"one"'),
        ({"Last_Modified": "Mon, 06 Jan 2025 10:00:00 GMT"}, "Mon, 06 Jan 2025 10:00:00 GMT"),
        ({"ETag": 'W/"weak"'}, None),
        ({}, None),
    ],
)
def test_dropped_connection_is_resumed(web, get, headers, if_range):
    web.drop(BODY, HALF, **headers)
    web.serve(BODY, **headers)
    assert get() == BODY
    assert web.requests[1]["Range"] == f"bytes={HALF}-"
    assert web.requests[1].get("If-Range") == if_range


def test_resumed_more_than_once(web, get):
    web.drop(BODY, 1000, ETag='"one"')
    web.status(503)
    web.serve(BODY, ETag='"one"')
    assert get() == BODY
    assert [request.get("Range") for request in web.requests] == [None, *["bytes=1000-"] * 2]


def test_server_without_ranges_starts_again(web, get):
    web.drop(BODY, HALF)
    web.serve_whole(BODY)
    assert get() == BODY


def test_file_changed_between_parts_is_fetched_anew(web, get):
    web.drop(b"x" * len(BODY), HALF, ETag='"old"')
    web.serve(BODY, ETag='"new"')  # If-Range fails: all of it comes
    assert get() == BODY


def test_file_changed_unnoticed_is_fetched_anew(web, get):
    web.drop(b"x" * len(BODY), HALF)  # no validator: the parts do not fit together
    web.serve(BODY)
    web.serve(BODY)
    assert get() == BODY
    assert "Range" not in web.requests[2]


def test_file_that_became_shorter(web, get):
    web.drop(BODY, HALF)
    web.serve(b"short")  # 416
    web.serve(BODY)
    assert get() == BODY


def test_range_of_another_size_is_not_appended(web, get):
    web.drop(BODY, HALF)
    web.serve(BODY + b"more")
    web.serve(BODY)
    assert get() == BODY
    assert "Range" not in web.requests[2]


def test_truncated_without_length_is_resumed(web, get):
    web.serve_without_length(BODY[:HALF])
    web.serve(BODY)
    assert get() == BODY


def test_truncated_for_good(web, get):
    for _ in range(4):
        web.drop(BODY, HALF)
    with pytest.raises(PlaceError, match=r"broke at 1,024,000 of 2,048,000 bytes .*\(4 attempts"):
        get()


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_seconds(web, get, status):
    arrivals = []
    web.status(status, Retry_After="1")
    web.answers[0] = _noting(arrivals, web.answers[0])
    web.serve(BODY)
    web.answers[1] = _noting(arrivals, web.answers[1])
    assert get() == BODY
    assert arrivals[1] - arrivals[0] >= 1


def _noting(arrivals, answer):
    def noted(handler):
        arrivals.append(time.monotonic())
        answer(handler)

    return noted


def test_retry_after_date_in_the_past(web, get):
    web.status(503, Retry_After=email.utils.formatdate(0, usegmt=True))
    web.serve(BODY)
    assert get() == BODY


def test_retry_after_too_long_is_a_refusal(web, get):
    web.status(429, Retry_After="86400")
    with pytest.raises(PlaceError, match="HTTP 429: the server asks to wait 86400 s"):
        get()


def test_meaningless_retry_after_is_ignored(web, get):
    web.status(503, Retry_After="soon")
    web.serve(BODY)
    assert get() == BODY


def test_no_retries(web, get):
    web.status(500)
    with pytest.raises(PlaceError, match=r"^HTTP 500$"):
        get(retries=0)


def test_not_found_is_final(web, get):
    with pytest.raises(PlaceError, match=r"^HTTP 404$"):
        get()
    assert len(web.requests) == 1


def test_html_instead_of_data(web, get):
    web.serve_whole(b"\n<!DOCTYPE html><title>Sign in</title>", Content_Type="text/html")
    with pytest.raises(PlaceError, match="HTML page"):
        get()


def test_wrong_length_is_seen_before_the_download(web, get):
    web.serve(BODY + b"more")
    with pytest.raises(PlaceError, match=r"announces 2,048,004 bytes, expected 2,048,000"):
        get()


def test_endless_body_is_cut(web, get):
    web.serve_without_length(BODY * 3)
    with pytest.raises(PlaceError, match="longer than"):
        get()


def test_wrong_sha256_is_final(web, get):
    web.serve(b"x" * len(BODY))
    with pytest.raises(PlaceError, match=f"wrong sha256: .* instead of {SHA256}"):
        get()
    assert len(web.requests) == 1


def test_content_encoding_is_taken_as_part_of_the_file(web, get):
    web.serve(BODY, Content_Encoding="gzip")  # the file is a .gz by itself, mislabelled
    assert get() == BODY


def test_silent_server(web, get):
    web.hang(BODY, HALF)
    web.serve(BODY)
    assert get(timeout_seconds=0.3) == BODY


def test_what_an_earlier_call_left_is_resumed(web, get):
    web.drop(BODY, HALF, ETag='"one"')
    with pytest.raises(PlaceError, match="connection broke"):
        get(retries=0)
    web.serve(BODY, ETag='"one"')
    assert get() == BODY
    assert (web.requests[1]["Range"], web.requests[1]["If-Range"]) == (f"bytes={HALF}-", '"one"')


def test_size_and_digest_may_be_unknown(web, tmp_path, settings):
    web.drop(BODY, HALF, ETag='"one"')
    web.serve(BODY, ETag='"one"')
    download(web.url(), tmp_path / "x", None, None, settings)
    assert (tmp_path / "x").read_bytes() == BODY
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_text_and_page(web, settings):
    page = b"<html><body>caf\xc3\xa9</body></html>"
    web.status(503)
    web.serve_whole(page)
    assert fetch_text(web.url(), settings, html=True) == page.decode()
    web.serve_whole(page)
    with pytest.raises(PlaceError, match="an HTML page came"):
        fetch_text(web.url(), settings)


def test_nobody_listens_and_no_secret_is_told(tmp_path):
    url = "http://user:hunter2@127.0.0.1:9/file?token=hunter3"
    with pytest.raises(PlaceError, match=r"no connection.*refused") as caught:
        download(url, tmp_path / "x", 1, "0" * 64, SourcesSettings(retries=0))
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize(
    ("block", "html"),
    [
        (b"<html>", True),
        (b"\xef\xbb\xbf <!doctype HTML>", True),
        (b"<?xml version='1.0'?><PubmedArticleSet>", False),
        (b"<headline>", False),
        (b"\x1f\x8b", False),
        (b"", False),
    ],
)
def test_looks_like_html(block, html):
    assert looks_like_html(block) is html
