import gzip
import hashlib
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from balign.corpus.parse import read_tables

HEAD = """<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle, 1st January 2019//EN"
 "https://dtd.nlm.nih.gov/ncbi/pubmed/out/pubmed_190101.dtd">
"""

ABSTRACT = "The liver was enlarged in each of the nine mice. Nothing else was found in them."


def _citation(pmid, version=1, title="A title.", abstract=ABSTRACT, language="eng", more=""):
    """Return a plain citation; ``abstract`` may hold markup, None leaves it out."""
    text = (
        "" if abstract is None else f"<Abstract><AbstractText>{abstract}</AbstractText></Abstract>"
    )
    return f"""
  <PubmedArticle>
    <MedlineCitation Status="MEDLINE" Owner="NLM">
      <PMID Version="{version}">{pmid}</PMID>
      <Article PubModel="Print">
        <Journal>
          <JournalIssue><PubDate><Year>1979</Year></PubDate></JournalIssue>
          <Title>The Journal</Title></Journal>
        <ArticleTitle>{title}</ArticleTitle>{text}
        <Language>{language}</Language>
      </Article>{more}
    </MedlineCitation>
    <PubmedData>
      <ArticleIdList><ArticleId IdType="pubmed">{pmid}</ArticleId></ArticleIdList>
    </PubmedData>
  </PubmedArticle>"""


@pytest.fixture(scope="session")
def read_rows():
    """Read a PubMed file as a list of rows."""
    return lambda path: [row for table in read_tables(path) for row in table.to_pylist()]


@pytest.fixture(scope="session")
def citation():
    return _citation


@pytest.fixture
def pubmed_file(tmp_path):
    """Write citations as a PubMed file and return its path."""

    def write(*citations, name="pubmed24n0001", head=HEAD, root="PubmedArticleSet"):
        path = tmp_path / f"{name}.xml.gz"
        text = f"{head}<{root}>{''.join(citations)}\n</{root}>\n"
        path.write_bytes(gzip.compress(text.encode(), mtime=0))
        return path

    return write


class Publisher:
    """PubMed's server: folders with an index, files beside their md5, ranges, ETags.

    A path's faults are answered first, one a request; ``asked`` holds the paths and headers of what
    was asked.
    """

    def __init__(self):
        self.files = {}
        self.faults = defaultdict(list)
        self.asked = []
        publisher = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                path = self.path.lstrip("/")
                publisher.asked.append((path, dict(self.headers)))
                faults = publisher.faults[path]
                if faults:
                    faults.pop(0)(self)
                else:
                    publisher.behave(self, path)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def publish(self, path, data, md5=None):
        """Put a file and its md5 there; return the file's address."""
        self.files[path] = data
        digest = hashlib.md5(data).hexdigest() if md5 is None else md5
        self.files[f"{path}.md5"] = f"MD5({path.rpartition('/')[2]})= {digest}\n".encode()
        return f"{self.url}/{path}"

    def index(self, folder):
        names = sorted(path.removeprefix(folder) for path in self.files if path.startswith(folder))
        links = "".join(f'<a href="{name}">{name}</a>  2026-01-02 10:00  20M\n' for name in names)
        return f"<!DOCTYPE HTML>\n<html><body><pre>{links}</pre></body></html>\n".encode()

    def behave(self, handler, path):
        if path.endswith("/"):
            return self.send(handler, 200, self.index(path), {"Content-Type": "text/html"})
        if path not in self.files:
            return self.send(handler, 404, b"")
        body = self.files[path]
        etag = f'"{hashlib.sha1(body).hexdigest()}"'
        wanted = handler.headers.get("Range")
        if wanted and handler.headers.get("If-Range") in (None, etag):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                return self.send(handler, 416, b"")
            span = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}", "ETag": etag}
            return self.send(handler, 206, body[start:], span)
        return self.send(handler, 200, body, {"ETag": etag})

    @staticmethod
    def send(handler, status, body, headers=(), length=-1):
        handler.send_response(status)
        for name, value in dict(headers).items():
            handler.send_header(name, value)
        if length is not None:
            handler.send_header("Content-Length", str(len(body) if length < 0 else length))
        handler.end_headers()
        handler.wfile.write(body)
        handler.wfile.flush()

    def fault(self, path, kind, **details):
        """Let the next request for ``path`` go wrong."""
        self.faults[path].append(
            lambda handler: getattr(self, f"_{kind}")(handler, path, **details)
        )

    def _drop(self, handler, path, after):
        body = self.files[path]
        etag = {"ETag": f'"{hashlib.sha1(body).hexdigest()}"'}
        self.send(handler, 200, body[:after], etag, length=len(body))

    def _cut(self, handler, path, after):
        self.send(handler, 200, self.files[path][:after], length=None)

    def _status(self, handler, path, status, retry_after=None):
        self.send(handler, status, b"", {"Retry-After": retry_after} if retry_after else {})

    def _html(self, handler, path):
        page = b"<!DOCTYPE html><html><title>Maintenance</title></html>"
        self.send(handler, 200, page, {"Content-Type": "text/html"})

    def _spoil(self, handler, path):
        self.send(handler, 200, bytes(byte ^ 1 for byte in self.files[path]))

    def _no_range(self, handler, path):
        self.send(handler, 200, self.files[path])

    def _trickle(self, handler, path, pause, bytes_sent):
        body = self.files[path]
        self.send(handler, 200, b"", {"ETag": f'"{hashlib.sha1(body).hexdigest()}"'}, len(body))
        try:
            for place in range(bytes_sent):
                handler.wfile.write(body[place : place + 1])
                handler.wfile.flush()
                time.sleep(pause)
        except OSError:
            pass  # the client hung up, as it should


@pytest.fixture
def publisher():
    server = Publisher()
    yield server
    server.close()
