import gzip
import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from balign.corpus.download import corpus_download
from balign.errors import SourceError
from balign.sources.settings import SourcesSettings

SETTINGS = SourcesSettings(retries=1, backoff_seconds=0.01, timeout_seconds=5)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def publisher(tmp_path):
    """Serve a folder; yield a function that publishes a file with the md5 that it is told."""
    folder = tmp_path / "baseline"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def publish(data, md5=None):
        (folder / "pubmed26n0001.xml.gz").write_bytes(data)
        digest = hashlib.md5(data).hexdigest() if md5 is None else md5
        (folder / "pubmed26n0001.xml.gz.md5").write_text(f"MD5(pubmed26n0001.xml.gz)= {digest}\n")
        return f"http://127.0.0.1:{server.server_port}/pubmed26n0001.xml.gz"

    yield publish
    server.shutdown()
    server.server_close()


def test_a_file_that_meets_its_md5_is_kept(publisher, tmp_path):
    data = gzip.compress(b"<PubmedArticleSet/>")
    corpus_download(publisher(data), tmp_path / "out" / "file.xml.gz", SETTINGS)
    assert (tmp_path / "out" / "file.xml.gz").read_bytes() == data


@pytest.mark.parametrize(
    ("data", "md5", "said"),
    [
        (gzip.compress(b"x"), "0" * 32, "wrong md5"),
        (b"plain text", None, "not a gzip file"),
        (gzip.compress(b"x"), "none", "holds no md5"),
    ],
)
def test_anything_else_is_an_error_and_leaves_nothing(publisher, tmp_path, data, md5, said):
    with pytest.raises(SourceError, match=said):
        corpus_download(publisher(data, md5), tmp_path / "out" / "file.xml.gz", SETTINGS)
    assert not list(tmp_path.glob("out/*"))


def test_a_missing_file_names_its_address(publisher, tmp_path):
    url = publisher(b"").replace("n0001", "n0002")
    with pytest.raises(SourceError) as caught:
        corpus_download(url, tmp_path / "file.xml.gz", SETTINGS)
    assert url in str(caught.value)
    assert "404" in str(caught.value)
