"""A web server that misbehaves on request, packages built by hand, and registry entries."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tarfile
import threading
import zipfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from balign.sources.registry import SourceEntry
from balign.sources.settings import SourcesSettings

Answer = Callable[[BaseHTTPRequestHandler], None]


class Web:
    """A server that gives each request the next of the answers it was told.

    ``requests`` holds the headers of what was asked, ``paths`` the paths.
    """

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.sent_half = threading.Event()
        self.released = threading.Event()
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.requests.append(dict(self.headers))
                web.paths.append(self.path)
                answer = web.answers.pop(0) if web.answers else _status(404, {})
                with contextlib.suppress(ConnectionError):  # the client may hang up first
                    answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def url(self, path: str = "folder/data.bin") -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/{path}"

    def serve(self, body: bytes, **headers: str) -> None:
        """Behave well: ranges, If-Range."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            wanted = handler.headers.get("Range")
            condition = handler.headers.get("If-Range")
            fresh = condition in (None, headers.get("ETag"), headers.get("Last_Modified"))
            if wanted and fresh:
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
                if start >= len(body):
                    _send(handler, 416, b"", {})
                    return
                span = f"bytes {start}-{len(body) - 1}/{len(body)}"
                _send(handler, 206, body[start:], {"Content-Range": span, **headers})
            else:
                _send(handler, 200, body, headers)

        self.answers.append(answer)

    def serve_whole(self, body: bytes, **headers: str) -> None:
        """Know no ranges."""
        self.answers.append(lambda handler: _send(handler, 200, body, headers))

    def serve_without_length(self, body: bytes) -> None:
        """Announce no length and close the connection at the end."""
        self.answers.append(lambda handler: _send(handler, 200, body, {}, length=None))

    def drop(self, body: bytes, after: int, **headers: str) -> None:
        """Announce all of ``body`` and close the connection after a part."""
        self.answers.append(
            lambda handler: _send(handler, 200, body[:after], headers, length=len(body))
        )

    def hang(self, body: bytes, after: int) -> None:
        """Send a part and then nothing until the test ends."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            _send(handler, 200, body[:after], {}, length=len(body))
            self.sent_half.set()
            self.released.wait(60)

        self.answers.append(answer)

    def status(self, status: int, **headers: str) -> None:
        self.answers.append(_status(status, headers))


def _status(status: int, headers: dict[str, str]) -> Answer:
    return lambda handler: _send(handler, status, b"", headers)


def _send(
    handler: BaseHTTPRequestHandler,
    status: int,
    body: bytes,
    headers: dict[str, str],
    length: int | None = -1,
) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    if length is not None:
        handler.send_header("Content-Length", str(len(body) if length < 0 else length))
    handler.end_headers()
    handler.wfile.write(body)
    handler.wfile.flush()


@pytest.fixture
def web():
    server = Web()
    yield server
    server.close()


@pytest.fixture
def settings() -> SourcesSettings:
    return SourcesSettings(retries=3, backoff_seconds=0.01, timeout_seconds=10)


@pytest.fixture(autouse=True)
def no_mirror(monkeypatch):
    monkeypatch.delenv("BALIGN_MIRROR", raising=False)


def _make_entry(files: dict[str, tuple[bytes, list[str]]], **changes: object) -> SourceEntry:
    """Make an entry from file name -> (true content, places)."""
    values: dict[str, object] = {
        "name": "toy",
        "version": "1",
        "licence": "CC0 1.0",
        "homepage": "https://example.org",
        "format": "files",
        "what": "A toy.",
        "files": [
            {
                "name": name,
                "sha256": hashlib.sha256(body).hexdigest(),
                "bytes": len(body),
                "places": places,
            }
            for name, (body, places) in files.items()
        ],
    }
    return SourceEntry.model_validate({**values, **changes})


@pytest.fixture
def make_entry():
    return _make_entry


class Index:
    """A folder of packages that stands for the Python index."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def wheel(self, members: dict[str, bytes], links: tuple[str, ...] = ()) -> None:
        """Build toy_data-1.0 as a wheel; ``links`` are members stored as symbolic links."""
        files = {
            **members,
            "toy_data-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: toy-data\n"
            b"Version: 1.0\nRequires-Python: >=4\n",
            "toy_data-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"
            b"Tag: py3-none-any\n",
            "toy_data-1.0.dist-info/RECORD": b"",
        }
        with zipfile.ZipFile(self.folder / "toy_data-1.0-py3-none-any.whl", "w") as packed:
            for name, body in files.items():
                info = zipfile.ZipInfo(name)
                info.external_attr = (0o120777 if name in links else 0o100644) << 16
                packed.writestr(info, body)

    def sdist(self, members: dict[str, bytes], links: dict[str, str] | None = None) -> str:
        """Build toy-data-1.0 as a source archive; return its sha256. Its code leaves a trace."""
        trace = f"open({str(self.trace)!r}, 'w').close()\n".encode()
        files = {
            **members,
            "PKG-INFO": b"Metadata-Version: 2.1\nName: toy-data\nVersion: 1.0\n",
            "setup.py": trace + b"from setuptools import setup\nsetup(name='toy-data')\n",
            "pyproject.toml": b"[build-system]\nbuild-backend = 'setuptools.build_meta'\n"
            b"requires = ['setuptools>=69', 'a-package-that-no-index-has']\n",
        }
        path = self.folder / "toy_data-1.0.tar.gz"
        with tarfile.open(path, "w:gz") as bundle:
            for name, body in files.items():
                info = tarfile.TarInfo(f"toy_data-1.0/{name}")
                info.size = len(body)
                bundle.addfile(info, io.BytesIO(body))
            for name, target in (links or {}).items():
                info = tarfile.TarInfo(f"toy_data-1.0/{name}")
                info.type, info.linkname = tarfile.SYMTYPE, target
                bundle.addfile(info)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    @property
    def trace(self) -> Path:
        return self.folder.parent / "the-package-ran"


@pytest.fixture
def index(tmp_path, monkeypatch):
    made = Index(tmp_path / "index")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(made.folder))
    return made
