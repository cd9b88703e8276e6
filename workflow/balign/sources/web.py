"""Download over HTTP: resumed, retried, and held to a size and a digest where they are known."""

from __future__ import annotations

import email.utils
import logging
import re
import tempfile
import time
from pathlib import Path

import requests
import urllib3

from balign.files import file_digest
from balign.sources.places import PlaceError, redact
from balign.sources.settings import SourcesSettings

log = logging.getLogger(__name__)

_BLOCK = 1 << 20
_CONNECT_SECONDS = 10.0
_LONGEST_WAIT_SECONDS = 300.0  # a server that asks for more has in effect refused
_SLOWEST_BYTES_A_SECOND = 1024  # a connection that trickles is as good as silent
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
_HTML = re.compile(rb"\s*<(!doctype\s+html|html|head|body)\b", re.IGNORECASE)


class _TryAgain(Exception):
    """A failure that may pass; ``wait`` is the server's Retry-After in seconds."""

    def __init__(self, what: str, wait: float | None = None) -> None:
        super().__init__(what)
        self.wait = wait


class WrongDigestError(PlaceError):
    """The file came whole, in one piece, and is another one than the digest says."""


class _Partial:
    """What has arrived of a file so far; it survives the process, to be resumed by the next one.

    Attributes:
        path: the partial file.
        resumed: whether the bytes come from more than one response.
        total: bytes of the whole file, once they are known.
    """

    def __init__(self, path: Path, size: int | None) -> None:
        self.path = path
        self._kept = path.with_name(f"{path.name}.validator")
        self._expected = self.total = size
        self.resumed = self.size > 0
        if not self.resumed:
            self.restart()

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def validator(self) -> str | None:
        """Strong ETag, or Last-Modified, of the representation that the bytes belong to."""
        return self._kept.read_text(encoding="latin-1") if self._kept.exists() else None

    def begin(self, validator: str | None) -> None:
        """Make ready for the first byte of a representation."""
        self.restart()
        if validator:
            self._kept.write_text(validator, encoding="latin-1")

    def restart(self) -> None:
        self.path.unlink(missing_ok=True)
        self._kept.unlink(missing_ok=True)
        self.resumed, self.total = False, self._expected

    def done(self) -> None:
        self._kept.unlink(missing_ok=True)

    def expect(self, total: int) -> None:
        """Hold what a server announces against what is known."""
        if self.total not in (None, total):
            raise PlaceError(f"the server announces {total:,} bytes, expected {self.total:,}")
        self.total = total


def download(
    url: str,
    target: Path,
    size: int | None,
    digest: str | None,
    settings: SourcesSettings,
    algorithm: str = "sha256",
    session: requests.Session | None = None,
) -> None:
    """Download ``url`` to ``target``, a temporary name of the caller's.

    A dropped connection is resumed with a Range request, guarded by If-Range (RFC 9110, sections
    13.1.5 and 14.2); a server that sends the whole file instead, or a file that has changed, starts
    from the beginning. What a killed process left at ``target`` is resumed likewise, its validator
    being kept in ``<target>.validator``. Bytes put together from several responses that miss the
    digest are thrown away and fetched again in one piece while retries are left.

    Args:
        url: address.
        target: file to write; the caller renames it.
        size: bytes of the file; None takes the server's word.
        digest: hexadecimal digest of the file; None checks the length alone.
        settings: retries, back-off and longest silence.
        algorithm: of the digest, a name of hashlib.
        session: what sends the requests; it is closed.

    Raises:
        WrongDigestError: if the file is another one than ``digest`` says.
        PlaceError: with the last failure, once it is final or the retries are used up. ``target``
            may then hold a part of the file; the caller removes or resumes it.
    """
    partial = _Partial(target, size)
    with session or requests.Session() as session:
        for attempt in range(settings.retries + 1):
            try:
                _attempt(session, url, partial, settings.timeout_seconds)
                _check(partial, digest, algorithm)
                return partial.done()
            except _TryAgain as error:
                if attempt == settings.retries:
                    times = f" ({attempt + 1} attempts)" if attempt else ""
                    raise PlaceError(f"{error}{times}") from None
                wait = error.wait
                if wait is None:
                    wait = settings.backoff_seconds * 2**attempt
                log.info("%s: %s; trying again in %.1f s", redact(url), error, wait)
                time.sleep(wait)


def fetch_text(url: str, settings: SourcesSettings, html: bool = False) -> str:
    """Return a small text file or, with ``html``, a page; retried as by :func:`download`.

    Raises:
        PlaceError: if it cannot be had, or an HTML page comes that was not asked for.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / ("page.html" if html else "text")
        download(url, target, None, None, settings)
        return target.read_text(encoding="utf-8", errors="replace")


def _attempt(session: requests.Session, url: str, partial: _Partial, timeout: float) -> None:
    """Send one request and append its body to ``partial``."""
    # identity: a length and a range count the bytes that we hash, not compressed ones.
    headers = {"Accept-Encoding": "identity"}
    start = partial.size
    if start:
        headers["Range"] = f"bytes={start}-"
        if partial.validator:
            headers["If-Range"] = partial.validator
    timeouts = (min(timeout, _CONNECT_SECONDS), timeout)
    try:
        with session.get(url, headers=headers, stream=True, timeout=timeouts) as response:
            _check_status(response, partial, start)
            _receive(response, partial, timeout)
    # The texts of these exceptions hold the URL with its query; none is passed on.
    except requests.exceptions.SSLError:
        raise PlaceError("the server's TLS certificate was not accepted") from None
    except (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError):
        raise _TryAgain(f"no answer for {timeout:g} s") from None
    except (requests.exceptions.ConnectionError, urllib3.exceptions.HTTPError) as error:
        if partial.size == partial.total:
            return  # all is there but the end mark; the digest decides
        if partial.size:
            total = f"of {partial.total:,} bytes" if partial.total else "bytes"
            what = f"the connection broke at {partial.size:,} {total} ({_cause(error)})"
        else:
            what = f"no connection, or it broke before the first byte ({_cause(error)})"
        raise _TryAgain(what) from None
    except requests.exceptions.RequestException as error:
        raise PlaceError(f"the request failed ({type(error).__name__})") from None


def _cause(error: BaseException) -> str:
    """Name the innermost failure by its kind; the texts on the way to it may hold the URL."""
    while error.__context__ is not None:
        error = error.__context__
    return getattr(error, "strerror", None) or type(error).__name__


def _check_status(response: requests.Response, partial: _Partial, start: int) -> None:
    """Accept 200 and a fitting 206; make ``partial`` ready for the body."""
    status = response.status_code
    if status == 206 and start:
        part = re.fullmatch(
            r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip()
        )
        total = int(part[2]) if part and part[2] != "*" else partial.total
        if part is None or int(part[1]) != start or partial.total not in (None, total):
            partial.restart()
            raise _TryAgain("the server sent another range than was asked for")
        partial.total = total
        partial.resumed = True
        return
    if status == 200:
        etag = response.headers.get("ETag", "")
        strong = etag if etag.startswith('"') else ""  # If-Range takes no weak ETag
        partial.begin(strong or response.headers.get("Last-Modified"))
        return
    if status == 416:  # the file has become shorter than what we hold
        partial.restart()
        raise _TryAgain("HTTP 416: the server refused the range")
    if status in _TRANSIENT:
        wait = _retry_after(response.headers.get("Retry-After"))
        if wait is not None and wait > _LONGEST_WAIT_SECONDS:
            raise PlaceError(f"HTTP {status}: the server asks to wait {wait:.0f} s")
        raise _TryAgain(f"HTTP {status}", wait)
    raise PlaceError(f"HTTP {status}")


def _retry_after(value: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks for, or None (RFC 9110, 10.2.3)."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _receive(response: requests.Response, partial: _Partial, timeout: float) -> None:
    first = partial.size == 0
    began, counted = time.monotonic(), partial.size
    with partial.path.open("ab") as handle:
        # Undecoded: some servers label a .gz "Content-Encoding: gzip" and mean the file itself.
        while block := response.raw.read1(_BLOCK, decode_content=False):
            if first:
                _check_first_block(response, block, partial)
                first = False
            handle.write(block)
            handle.flush()
            if partial.total is not None and handle.tell() > partial.total:
                raise PlaceError(f"longer than the {partial.total:,} bytes expected")
            passed = time.monotonic() - began
            if passed > timeout:
                if handle.tell() - counted < _SLOWEST_BYTES_A_SECOND * passed:
                    raise _TryAgain(f"fewer than 1,024 bytes a second for {passed:.0f} s")
                began, counted = time.monotonic(), handle.tell()


def _check_first_block(response: requests.Response, block: bytes, partial: _Partial) -> None:
    if looks_like_html(block) and not partial.path.name.endswith((".html", ".htm")):
        raise PlaceError("an HTML page came instead of the file")
    length = response.headers.get("Content-Length", "")
    if response.status_code == 200 and length.isdecimal():
        partial.expect(int(length))


def looks_like_html(block: bytes) -> bool:
    """Tell whether the first bytes of a file are those of an HTML page."""
    return _HTML.match(block.removeprefix(b"\xef\xbb\xbf")) is not None


def _check(partial: _Partial, digest: str | None, algorithm: str) -> None:
    have = partial.size
    if have < (partial.total or 0):  # closed early by a server that announces no length
        raise _TryAgain(f"truncated: {have:,} of {partial.total:,} bytes")
    found = digest and file_digest(partial.path, algorithm)
    if found != digest:
        resumed = partial.resumed
        partial.restart()
        what = f"wrong {algorithm}: {found} instead of {digest}"
        if resumed:
            raise _TryAgain(what)
        raise WrongDigestError(what)
