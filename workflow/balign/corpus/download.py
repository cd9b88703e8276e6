"""Rule ``corpus_download``: one file of PubMed from the publisher.

The publisher puts the md5 of each file beside it (``<file>.md5``, one line
``MD5(<file>)= <digest>``); it is the publisher's own check and no defence against a forger, which
is what HTTPS is for.
"""

from __future__ import annotations

import logging
import re
import time
from pathlib import Path

from balign.errors import SourceError
from balign.sources.places import PlaceError
from balign.sources.settings import SourcesSettings
from balign.sources.web import WrongDigestError, download, fetch_text

log = logging.getLogger(__name__)

_GZIP_MAGIC = b"\x1f\x8b"
_MD5 = re.compile(r"\b[0-9a-f]{32}\b", re.IGNORECASE)


def corpus_download(url: str, output: Path, settings: SourcesSettings) -> None:
    """Download ``url`` to ``output``, held to the md5 that the server gives.

    What has arrived is kept as ``.<name>.part`` beside ``output``, and resumed by the next call if
    this one is killed or fails; only a file that is right gets its name. The publisher may replace
    a file at any moment, so that a wrong md5 is asked for anew, as often as any other retry.

    Raises:
        SourceError: if file or md5 cannot be had, or the file is not what the md5 says or no gzip.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_name(f".{output.name}.part")
    try:
        md5 = _download(url, part, settings)
    except PlaceError as error:
        raise SourceError(
            f"the PubMed file cannot be downloaded: {error}",
            where=url,
            hint="repeat the command; if it fails again, check the network and `corpus.pubmed` "
            "(a new year's baseline replaces the old one), or put the files into a folder and "
            "name it by `corpus.folder`",
        ) from None
    log.info("%s: %s bytes, md5 %s", output.name, f"{part.stat().st_size:,}", md5)
    part.replace(output)


def _download(url: str, part: Path, settings: SourcesSettings) -> str:
    for attempt in range(settings.retries + 1):
        md5 = _md5(url, settings)
        try:
            download(url, part, None, md5, settings, algorithm="md5")
            break
        except WrongDigestError as error:
            if attempt == settings.retries:
                raise
            wait = settings.backoff_seconds * 2**attempt
            log.info("%s: %s; trying again in %.1f s", url, error, wait)
            time.sleep(wait)
    with part.open("rb") as handle:
        magic = handle.read(2)
    if magic != _GZIP_MAGIC:
        part.unlink()
        raise PlaceError("it meets its md5, but is no gzip file")
    return md5


def _md5(url: str, settings: SourcesSettings) -> str:
    try:
        text = fetch_text(f"{url}.md5", settings)
    except PlaceError as error:
        raise PlaceError(f"its .md5: {error}") from None
    match = _MD5.search(text)
    if match is None:
        raise PlaceError("its .md5 file holds no md5")
    return match[0].lower()
