"""Downloads from a publisher that misbehaves on purpose."""

import gzip
import hashlib
import random
import time

import pytest

from balign.corpus.download import corpus_download
from balign.errors import SourceError
from balign.sources.settings import SourcesSettings

SETTINGS = SourcesSettings(retries=3, backoff_seconds=0.01, timeout_seconds=5)
PATH = "baseline/pubmed26n0001.xml.gz"
DATA = gzip.compress(random.Random(1).randbytes(300_000))
OTHER = gzip.compress(random.Random(2).randbytes(300_000))
HALF = len(DATA) // 2


@pytest.fixture
def get(publisher, tmp_path):
    """Publish DATA, download it, and return what arrived; nothing else may be left."""
    publisher.publish(PATH, DATA)

    def run(**changes):
        output = tmp_path / "out" / "pubmed26n0001.xml.gz"
        corpus_download(f"{publisher.url}/{PATH}", output, SETTINGS.model_copy(update=changes))
        assert [path.name for path in output.parent.iterdir()] == [output.name]
        return output.read_bytes()

    return run


def asked(publisher, path=PATH):
    return [headers for asked_path, headers in publisher.asked if asked_path == path]


def test_a_file_that_meets_its_md5_is_kept(publisher, get):
    assert get() == DATA
    assert [path for path, _ in publisher.asked] == [f"{PATH}.md5", PATH]


def test_a_dropped_connection_is_resumed(publisher, get):
    publisher.fault(PATH, "drop", after=HALF)
    assert get() == DATA
    assert asked(publisher)[1]["Range"] == f"bytes={HALF}-"
    assert asked(publisher)[1]["If-Range"] == f'"{hashlib.sha1(DATA).hexdigest()}"'


def test_a_truncated_body_without_length_misses_its_md5_and_is_fetched_anew(publisher, get):
    publisher.fault(PATH, "cut", after=HALF)
    assert get() == DATA


@pytest.mark.parametrize("path", [PATH, f"{PATH}.md5"])
@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_waited_for_as_long_as_it_asks(publisher, get, path, status):
    publisher.fault(path, "status", status=status, retry_after="1")
    began = time.monotonic()
    assert get() == DATA
    assert time.monotonic() - began >= 1


def test_a_server_without_ranges_sends_it_all_again(publisher, get):
    publisher.fault(PATH, "drop", after=HALF)
    publisher.fault(PATH, "no_range")
    assert get() == DATA


def test_a_spoilt_answer_is_fetched_anew(publisher, get):
    publisher.fault(PATH, "spoil")
    assert get() == DATA
    assert len(asked(publisher, f"{PATH}.md5")) == 2


def test_a_file_replaced_between_two_requests_is_fetched_anew_with_its_md5(publisher, get):
    publisher.fault(PATH, "drop", after=HALF)
    handle = publisher.faults[PATH][0]

    def replace(handler):
        handle(handler)
        publisher.publish(PATH, OTHER)

    publisher.faults[PATH][0] = replace
    assert get() == OTHER


def test_a_trickle_is_cut_off_and_resumed(publisher, get):
    publisher.fault(PATH, "trickle", pause=0.05, bytes_sent=100)
    assert get(timeout_seconds=0.5) == DATA
    assert asked(publisher)[1]["Range"].startswith("bytes=")


def test_what_a_killed_process_left_is_resumed(publisher, get, tmp_path):
    part = tmp_path / "out" / ".pubmed26n0001.xml.gz.part"
    publisher.fault(PATH, "drop", after=HALF)
    with pytest.raises(SourceError, match="connection broke"):
        get(retries=0)
    assert part.read_bytes() == DATA[:HALF]
    assert get() == DATA
    assert asked(publisher)[1]["Range"] == f"bytes={HALF}-"


def test_what_a_killed_process_left_of_an_older_file_is_thrown_away(publisher, get):
    publisher.fault(PATH, "drop", after=HALF)
    with pytest.raises(SourceError):
        get(retries=0)
    publisher.publish(PATH, OTHER)
    assert get() == OTHER


def test_a_whole_part_of_unknown_origin_is_held_to_the_md5(publisher, get, tmp_path):
    part = tmp_path / "out" / ".pubmed26n0001.xml.gz.part"
    part.parent.mkdir()
    part.write_bytes(OTHER[:HALF])
    assert get() == DATA


@pytest.mark.parametrize(
    ("data", "md5", "said"),
    [
        (DATA, "0" * 32, "wrong md5"),
        (b"plain text", None, "no gzip file"),
        (DATA, "none", "holds no md5"),
    ],
)
def test_anything_else_is_an_error_and_leaves_nothing(publisher, tmp_path, data, md5, said):
    url = publisher.publish(PATH, data, md5)
    with pytest.raises(SourceError, match=said) as caught:
        corpus_download(url, tmp_path / "out" / "file.xml.gz", SETTINGS)
    assert url in str(caught.value)
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize(
    ("path", "said"), [(PATH, "an HTML page came"), (f"{PATH}.md5", r"its \.md5: an HTML page")]
)
def test_an_html_page_is_refused(publisher, get, tmp_path, path, said):
    publisher.fault(path, "html")
    with pytest.raises(SourceError, match=said):
        get()
    assert not list(tmp_path.glob("out/[!.]*"))


def test_a_missing_file_names_its_address(publisher, tmp_path):
    with pytest.raises(SourceError) as caught:
        corpus_download(f"{publisher.url}/{PATH}", tmp_path / "file.xml.gz", SETTINGS)
    assert f"{publisher.url}/{PATH}" in str(caught.value)
    assert "404" in str(caught.value)
