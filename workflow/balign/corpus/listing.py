"""Rule ``corpus_list``: which files of PubMed the publisher has, and which of them are wanted.

The baseline of year YY has files ``pubmedYYnNNNN.xml.gz`` from 0001 on; the daily updates go on
counting. In December a new baseline replaces it all: baseline and updates of the earlier year.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from balign.corpus.settings import PubmedSettings
from balign.draw import draw
from balign.errors import ConfigError, SourceError
from balign.files import read_json, write_json
from balign.sources.places import PlaceError
from balign.sources.settings import SourcesSettings
from balign.sources.web import fetch_text, looks_like_html

_log = logging.getLogger(__name__)

FOLDERS = {"baseline": "baseline", "updates": "updatefiles"}
"""The publisher's folder of each kind of file; ours has the same name."""

_LINK = re.compile(r'href="[^"]*?pubmed(\d\d)n(\d{4,5})\.xml\.gz(\.md5)?"', re.IGNORECASE)
_END = re.compile(r"</(html|body|pre)>", re.IGNORECASE)
_NUMBERED = re.compile(r"pubmed(\d\d)n(\d+)")

Listing = Mapping[str, list[int]]
"""Numbers of the files of each kind, in order."""


def corpus_list(pubmed: PubmedSettings, sources: SourcesSettings, output: Path) -> None:
    """Write the publisher's present files; a run with this listing is the same on any later day.

    Args:
        pubmed: the publisher's address and the baseline's year.
        sources: how patient to be.
        output: JSON: ``url``, ``year``, and a :data:`Listing`.

    Raises:
        SourceError: if a folder's listing cannot be had, is cut short, lacks a file of the row or
            has none of the year.
    """
    listing = {}
    for kind, folder in FOLDERS.items():
        url = f"{pubmed.url.rstrip('/')}/{folder}/"
        try:
            listing[kind] = parse_index(fetch_text(url, sources, html=True), pubmed.year)
            if kind == "baseline" and not listing[kind]:
                raise PlaceError("the index has no PubMed file")
        except PlaceError as error:
            raise SourceError(
                f"the publisher's listing cannot be had: {error}",
                where=url,
                hint="check the network, `corpus.pubmed.url` and `corpus.pubmed.year`, or name the "
                "files by number, which needs no listing",
            ) from None
        _log.info("%s: %s files of pubmed%02d", url, f"{len(listing[kind]):,}", pubmed.year)
    write_json(output, {"url": pubmed.url, "year": pubmed.year, **listing})


def parse_index(page: str, year: int) -> list[int]:
    """Return the numbers of a year's files in a folder's HTML index, in order.

    Links alone are looked at, whatever server made the page. An empty folder gives none: for some
    days a new baseline has no updates.

    Raises:
        PlaceError: if the page is no HTML or is cut short, a file of the row or an md5 is missing,
            or all files are of another year.
    """
    if not looks_like_html(page[:1000].encode()) or not _END.search(page):
        raise PlaceError("the index is no HTML page, or is cut short")
    found: dict[str, set[int]] = {"": set(), ".md5": set()}
    years = set()
    for file_year, number, ending in _LINK.findall(page):
        years.add(int(file_year))
        if int(file_year) == year:
            found[ending.lower()].add(int(number))
    files = found[""]
    if years and not files:
        raise PlaceError(
            f"it has no file of pubmed{year:02d}, but of pubmed{max(years):02d}; set "
            "`corpus.pubmed.year` to the year that the publisher has"
        )
    for number in range(min(files), max(files) + 1) if files else ():
        if number not in files:
            raise PlaceError(f"the index lacks {file_name(year, number)}")
        if number not in found[".md5"]:
            raise PlaceError(f"the index lacks the md5 of {file_name(year, number)}")
    return sorted(files)


def file_name(year: int, number: int) -> str:
    """Return a file's name without its ending, such as ``pubmed26n0001``."""
    return f"pubmed{year:02d}n{number:04d}"


def needs_listing(pubmed: PubmedSettings | None) -> bool:
    """Tell whether the files wanted are known only with the publisher's listing."""
    return pubmed is not None and "all" in (pubmed.baseline, pubmed.updates)


def wanted_files(pubmed: PubmedSettings, listing: Path | None) -> dict[str, str]:
    """Return the publisher's folder of each wanted file by name, in PubMed's order.

    Args:
        pubmed: the files wanted.
        listing: output of :func:`corpus_list`; None where none is needed.

    Raises:
        ConfigError: if a sample is larger than what it is drawn from.
    """
    present: Listing = read_json(listing) if listing else {}
    found = {}
    for kind, text in (("baseline", pubmed.baseline), ("updates", pubmed.updates)):
        numbers = present[kind] if text == "all" else sorted(set(_numbers(text)))
        names = [file_name(pubmed.year, number) for number in numbers]
        if kind == "baseline" and pubmed.sample is not None:
            if pubmed.sample > len(names):
                raise ConfigError(
                    f"corpus.pubmed.sample: {pubmed.sample} of {len(names)} files cannot be drawn"
                )
            names = sorted(draw(pubmed.seed, names, pubmed.sample))
        found.update(dict.fromkeys(names, FOLDERS[kind]))
    return found


def _numbers(text: str) -> Iterator[int]:
    for part in text.split(",") if text != "none" else ():
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def check_one_year(names: Iterable[str]) -> None:
    """Refuse files of several years: each year's baseline replaces all that came before.

    A citation deleted between two baselines is in the older one and in no list of deletions, so
    that it would live on.

    Raises:
        ConfigError: names a file of each of two years.
    """
    example: dict[str, str] = {}
    for name in sorted(names):
        if found := _NUMBERED.fullmatch(name):
            example.setdefault(found[1], name)
    if len(example) > 1:
        old, *_, new = (example[year] for year in sorted(example))
        raise ConfigError(
            f"PubMed files of several years: {old} and {new}",
            where="corpus.sources, corpus.folder, corpus.pubmed",
            hint="a year's baseline replaces all earlier files: keep those of one year (the set "
            "pubmed-sample is of 2020 and 2021: leave it out beside files of another year)",
        )
