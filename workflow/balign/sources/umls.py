"""UMLS releases from the National Library of Medicine, with a licensee's own key.

The service is UTS (documentation.uts.nlm.nih.gov, "Automating UMLS Terminology Services
Downloads"): ``/releases?releaseType=...&current=true`` lists releases and needs no key,
``/download?url=<file>&apiKey=<key>`` gives a file.

The key comes from the environment variable ``UMLS_API_KEY`` and goes into requests to that one
server. It is in no argument, setting, log line, file or exception: requests' own exceptions and
urllib3's debug messages hold the whole address, so the former are dropped with their chain and the
latter rewritten; a redirect that would carry the key to another server is refused.
"""

from __future__ import annotations

import json
import logging
import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, unquote, urlencode, urljoin, urlsplit

import requests

from balign.errors import SourceError
from balign.files import file_digest, text_digest
from balign.sources.places import PlaceError
from balign.sources.settings import SourcesSettings
from balign.sources.web import download, fetch_text

log = logging.getLogger(__name__)

KEY = "UMLS_API_KEY"
# Kind → what the file's name holds; the release's name stands between "umls-" and it.
KINDS = {
    "metathesaurus-full-subset": "metathesaurus-full",
    "level-0": "metathesaurus-level-0",
    "mrconso": "mrconso",
    "full-release": "full",
}
_FILES = "https://download.nlm.nih.gov/umls/kss"
_RELEASE = re.compile(r"\d{4}A[A-C]")
_LOGGERS = ("urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry")
_PROFILE = "your key is on https://uts.nlm.nih.gov/uts/profile"


def sources_umls(
    output: Path, release: str, kind: str, md5: str | None, settings: SourcesSettings
) -> None:
    """Download an archive of a UMLS release.

    It is brought under a temporary name beside ``output``, where a later call goes on after a
    failure; its length is held to what the server announces, its bytes to ``md5`` where it is given
    and to the checksums inside the archive otherwise; then it is renamed.

    Args:
        output: file to write; one that is there and meets ``md5`` is kept.
        release: such as ``2026AA``, or ``current``.
        kind: one of :data:`KINDS`.
        md5: hexadecimal digest that NLM's download page gives.
        settings: server, retries, back-off.

    Raises:
        SourceError: without a key, for a key or a release that the server refuses, if the archive
            cannot be had whole. The key is nowhere in the exception or its chain.
    """
    key = _key()
    if kind not in KINDS:
        raise SourceError(f"no archive '{kind}' of UMLS", hint=f"there are: {', '.join(KINDS)}")
    if md5 is not None and not re.fullmatch(r"[0-9a-fA-F]{32}", md5):
        raise SourceError("the md5 is not 32 hexadecimal digits", hint="copy it from NLM's page")
    problem = None
    with _silence(key):
        try:
            if release == "current":
                release = _current_release(settings)
            if not _RELEASE.fullmatch(release):
                raise _Refused("not the name of a release", "write it as 2026AA")
            _bring(output, release, kind, md5 and md5.lower(), key, settings)
        except _Refused as error:
            problem = (error.what, error.hint)
        except PlaceError as error:
            problem = (str(error), _hint(str(error)))
        except OSError as error:
            problem = (f"cannot be written: {error.strerror}", "free some space and call again")
        except Exception as error:  # whatever a library raises may hold the address
            problem = (f"the download failed ({type(error).__name__})", "call again")
    if problem is not None:  # outside of the handlers, so that no chain leads to their exceptions
        what, hint = (_without(text, key) for text in problem)
        raise SourceError(f"UMLS {kind}: {what}", where=settings.umls_url, hint=hint)


class _Refused(Exception):
    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what, self.hint = what, hint


def _key() -> str:
    key = os.environ.get(KEY, "").strip()
    if not key:
        raise SourceError(
            f"the environment variable {KEY} is not set",
            hint=f"put your UTS key into it; {_PROFILE}",
        )
    if not re.fullmatch(r"[\x21-\x7e]{8,}", key):
        raise SourceError(
            f"what {KEY} holds is no key: white space, other than ASCII, or under 8 characters",
            hint=_PROFILE,
        )
    return key


def _forms(key: str) -> set[str]:
    """Return the key as it may stand in an address."""
    return {key, quote(key), quote(key, safe=""), quote(quote(key, safe=""), safe="")}


def _without(text: str, key: str) -> str:
    for form in _forms(key):
        text = text.replace(form, "***")
    return text


@contextmanager
def _silence(key: str) -> Iterator[None]:
    """Rewrite the debug messages of urllib3, which hold the whole address."""

    def rewrite(record: logging.LogRecord) -> bool:
        record.msg, record.args = _without(record.getMessage(), key), ()
        return True

    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addFilter(rewrite)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(rewrite)


class _KeySession(requests.Session):
    """Adds the key to the first address and follows no redirect that shows it to others."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self._key = key
        self.params = {"apiKey": key}

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target = super().get_redirect_target(resp)
        if target is None:
            return None
        here, there = urlsplit(resp.url), urlsplit(urljoin(resp.url, target))
        plain = unquote(unquote(target))
        shown = any(form in text for form in _forms(self._key) for text in (target, plain))
        if shown and (here.scheme, here.netloc) != (there.scheme, there.netloc):
            raise PlaceError(
                f"refused: a redirect to {there.hostname} that carries the key in its address"
            )
        return target


def _current_release(settings: SourcesSettings) -> str:
    query = urlencode({"releaseType": "umls-metathesaurus-full-subset", "current": "true"})
    text = fetch_text(f"{settings.umls_url.rstrip('/')}/releases?{query}", settings)
    try:
        found = json.loads(text)[0]["releaseVersion"]
    except (ValueError, LookupError, TypeError):
        found = None
    if not isinstance(found, str):
        raise _Refused("the server's list of releases cannot be read", "name one with --release")
    log.info("the current release is %s", found)
    return found


def _bring(
    output: Path, release: str, kind: str, md5: str | None, key: str, settings: SourcesSettings
) -> None:
    file = f"{_FILES}/{release}/umls-{release}-{KINDS[kind]}.zip"
    url = f"{settings.umls_url.rstrip('/')}/download?{urlencode({'url': file})}"
    if md5 and output.is_file() and file_digest(output, "md5") == md5:
        log.info("%s is already there, md5 right", output)
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.name}.{text_digest(url)[:8]}.part")
    log.info("%s: asking for %s", output, file)
    download(url, partial, None, md5, settings, algorithm="md5", session=_KeySession(key))
    if md5 is None:
        _check_archive(partial)
    partial.replace(output)
    checked = "md5 right" if md5 else "no md5 given; the checksums inside the archive are right"
    log.info("%s: %s bytes, %s", output, f"{output.stat().st_size:,}", checked)


def _check_archive(path: Path) -> None:
    """Read the whole archive against the checksums of its members."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError):
        damaged = "the archive"
    if damaged is not None:
        path.unlink()
        raise _Refused("the archive came damaged", "call again; give --md5 from NLM's page")


def _hint(problem: str) -> str:
    if "HTTP 401" in problem or "HTTP 403" in problem or "HTML page" in problem:
        return f"the server refused the key or the licence behind it has lapsed; {_PROFILE}"
    if "HTTP 404" in problem:
        return "there is no such release or archive; try --release current"
    return "call again: what has come is kept and the download goes on from there"
