"""Rule ``corpus_download``: one file of PubMed's baseline from the publisher.

The publisher puts the md5 of each file beside it (``<file>.md5``, one line
``MD5(<file>)= <digest>``); it is the publisher's own check and no defence against a forger, which
is what HTTPS is for.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from balign.errors import SourceError
from balign.files import atomic_path
from balign.sources.places import PlaceError
from balign.sources.settings import SourcesSettings
from balign.sources.web import download

log = logging.getLogger(__name__)

_GZIP_MAGIC = b"\x1f\x8b"


def corpus_download(url: str, output: Path, settings: SourcesSettings) -> None:
    """Download ``url`` to ``output``, held to the size and the md5 that the server gives.

    Raises:
        SourceError: if file or md5 cannot be had, or the file is not what the md5 says or no gzip.
    """
    try:
        size, md5 = _size_and_md5(url, settings)
        with atomic_path(output) as temporary:
            download(url, temporary, size, md5, settings, algorithm="md5")
            with temporary.open("rb") as handle:
                if handle.read(2) != _GZIP_MAGIC:
                    raise PlaceError("not a gzip file")
    except (PlaceError, requests.RequestException) as error:
        raise SourceError(
            f"the PubMed file cannot be downloaded: {error}",
            where=url,
            hint="check the network and `corpus.baseline` (url, year, first, last), or put the "
            "files into a folder and name it by `corpus.folder`",
        ) from None
    log.info("%s: %s bytes, md5 %s", output.name, f"{size:,}", md5)


def _size_and_md5(url: str, settings: SourcesSettings) -> tuple[int, str]:
    retry = Retry(
        total=settings.retries,
        backoff_factor=settings.backoff_seconds,
        status_forcelist=(429, 500, 502, 503, 504),
    )
    with requests.Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=retry))
        sidecar = session.get(f"{url}.md5", timeout=settings.timeout_seconds)
        sidecar.raise_for_status()
        match = re.search(r"\b[0-9a-f]{32}\b", sidecar.text)
        if match is None:
            raise PlaceError("its .md5 file holds no md5")
        identity = {"Accept-Encoding": "identity"}
        head = session.head(url, headers=identity, timeout=settings.timeout_seconds)
        head.raise_for_status()
    length = head.headers.get("Content-Length", "")
    if not length.isdecimal():
        raise PlaceError("the server does not tell its size")
    return int(length), match[0]
