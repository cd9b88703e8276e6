"""Download over HTTP: resumed, retried, and held to a size and a digest."""

from __future__ import annotations

import email.utils
import logging
import re
import time
from dataclasses import dataclass
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
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
_HTML = re.compile(rb"\s*<(!doctype\s+html|html|head|body)\b", re.IGNORECASE)


class _TryAgain(Exception):
    """A failure that may pass; ``wait`` is the server's Retry-After in seconds."""

    def __init__(self, what: str, wait: float | None = None) -> None:
        super().__init__(what)
        self.wait = wait


@dataclass
class _Partial:
    """What has arrived of a file so far.

    Attributes:
        path: the partial file.
        validator: strong ETag, or Last-Modified, of the representation that the bytes belong to.
        resumed: whether the bytes come from more than one response.
    """

    path: Path
    validator: str | None = None
    resumed: bool = False

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def restart(self) -> None:
        self.path.unlink(missing_ok=True)
        self.validator, self.resumed = None, False


def download(
    url: str,
    target: Path,
    size: int,
    digest: str,
    settings: SourcesSettings,
    algorithm: str = "sha256",
) -> None:
    """Download ``url`` to ``target``, a temporary name of the caller's that does not exist yet.

    A dropped connection is resumed with a Range request, guarded by If-Range (RFC 9110, sections
    13.1.5 and 14.2); a server that sends the whole file instead, or a file that has changed, starts
    from the beginning. Bytes put together from several responses that miss the digest are thrown
    away and fetched again in one piece while retries are left.

    Raises:
        PlaceError: with the last failure, once it is final or the retries are used up. ``target``
            may then hold a part of the file; the caller removes it.
    """
    partial = _Partial(target)
    with requests.Session() as session:
        for attempt in range(settings.retries + 1):
            try:
                _attempt(session, url, partial, size, settings.timeout_seconds)
                return _check(partial, size, digest, algorithm)
            except _TryAgain as error:
                if attempt == settings.retries:
                    times = f" ({attempt + 1} attempts)" if attempt else ""
                    raise PlaceError(f"{error}{times}") from None
                wait = error.wait
                if wait is None:
                    wait = settings.backoff_seconds * 2**attempt
                log.info("%s: %s; trying again in %.1f s", redact(url), error, wait)
                time.sleep(wait)


def _attempt(
    session: requests.Session, url: str, partial: _Partial, size: int, timeout: float
) -> None:
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
            _check_status(response, partial, start, size)
            _receive(response, partial, size)
    # The texts of these exceptions hold the URL with its query; none is passed on.
    except requests.exceptions.SSLError:
        raise PlaceError("the server's TLS certificate was not accepted") from None
    except (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError):
        raise _TryAgain(f"no answer for {timeout:g} s") from None
    except (requests.exceptions.ConnectionError, urllib3.exceptions.HTTPError) as error:
        if partial.size == size:
            return  # all is there but the end mark; the digest decides
        if partial.size:
            what = f"the connection broke at {partial.size:,} of {size:,} bytes ({_cause(error)})"
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


def _check_status(response: requests.Response, partial: _Partial, start: int, size: int) -> None:
    """Accept 200 and a fitting 206; make ``partial`` ready for the body."""
    status = response.status_code
    if status == 206 and start:
        part = re.fullmatch(
            r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip()
        )
        if part is None or int(part[1]) != start or part[2] not in ("*", str(size)):
            partial.restart()
            raise _TryAgain("the server sent another range than was asked for")
        partial.resumed = True
        return
    if status == 200:
        partial.restart()
        etag = response.headers.get("ETag", "")
        strong = etag if etag.startswith('"') else ""  # If-Range takes no weak ETag
        partial.validator = strong or response.headers.get("Last-Modified")
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


def _receive(response: requests.Response, partial: _Partial, size: int) -> None:
    first = partial.size == 0
    # Undecoded: some servers label a .gz file "Content-Encoding: gzip" and mean the file itself.
    with partial.path.open("ab") as handle:
        for block in response.raw.stream(_BLOCK, decode_content=False):
            if first:
                _check_first_block(response, block, partial.path.name, size)
                first = False
            handle.write(block)
            handle.flush()
            if handle.tell() > size:
                raise PlaceError(f"longer than the {size:,} bytes of the registry")


def _check_first_block(response: requests.Response, block: bytes, name: str, size: int) -> None:
    if looks_like_html(block) and not name.endswith((".html", ".htm")):
        raise PlaceError("an HTML page came instead of the file")
    length = response.headers.get("Content-Length", "")
    if response.status_code == 200 and length.isdecimal() and int(length) != size:
        raise PlaceError(f"the server announces {int(length):,} bytes, the registry {size:,}")


def looks_like_html(block: bytes) -> bool:
    """Tell whether the first bytes of a file are those of an HTML page."""
    return _HTML.match(block.removeprefix(b"\xef\xbb\xbf")) is not None


def _check(partial: _Partial, size: int, digest: str, algorithm: str) -> None:
    have = partial.size
    if have < size:  # closed early by a server that announces no length
        raise _TryAgain(f"truncated: {have:,} of {size:,} bytes")
    found = file_digest(partial.path, algorithm)
    if found != digest:
        what = f"wrong {algorithm}: {found} instead of {digest}"
        if partial.resumed:
            partial.restart()
            raise _TryAgain(what)
        raise PlaceError(what)
