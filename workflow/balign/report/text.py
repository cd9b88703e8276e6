"""How numbers and names are written in the report."""

from __future__ import annotations

import math
import re
from typing import Any

THIN = "\u202f"  # narrow no-break space: a thousands separator that no line break divides
MINUS = "\u2212"
DASH = "\u2013"

_IDENTIFIER = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_NAME = re.compile(r"[a-z][0-9]{2}")  # pubmed20n0014, sha256: a name, no words
_WORDS = {
    "bali": "BALI",
    "cui": "CUI",
    "cuis": "CUIs",
    "doid": "DOID",
    "f1": "F1",
    "hpo": "HPO",
    "id": "ID",
    "ids": "IDs",
    "kg": "KG",
    "mesh": "MeSH",
    "mlm": "MLM",
    "mondo": "MONDO",
    "pmid": "PMID",
    "pmids": "PMIDs",
    "umls": "UMLS",
    "xref": "cross-reference",
    "xrefs": "cross-references",
}


def whole(value: int) -> str:
    """Write an integer in groups of three: 33 278 with narrow no-break spaces."""
    return f"{value:,}".replace(",", THIN).replace("-", MINUS)


def number(value: Any) -> str:
    """Write any scalar: integers in groups, other numbers to four figures, the rest as it is."""
    if value is None:
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return whole(value)
    if isinstance(value, float):
        if value.is_integer() and abs(value) < 1e15:
            return whole(int(value))
        if 1000 <= abs(value) < math.inf:
            return whole(round(value))
        return f"{value:.4g}".replace("-", MINUS)
    return str(value)


def percent(value: float | None, digits: int = 1) -> str:
    """Write a share of one times 100, without a sign: 0.6112 as 61.1."""
    return DASH if value is None else f"{100 * value:.{digits}f}".replace("-", MINUS)


def points(value: float | None) -> str:
    """Write a difference of two shares times 100, with its sign: -0.022 as −2.2."""
    if value is None:
        return DASH
    text = f"{100 * value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", MINUS)


def p_value(value: float | None) -> str:
    """Write a p value to two figures, never as 0."""
    if value is None:
        return DASH
    return "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def size(count: int) -> str:
    """Write a number of bytes in the unit that fits: 12.3 MB, powers of 1,000."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    text = whole(round(value)) if unit == "B" or value >= 100 else f"{value:.1f}"
    return f"{text}{THIN}{unit}"


def duration(seconds: float) -> str:
    """Write seconds as people do: 4.2 s, 3 min 05 s, 2 h 10 min."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f}{THIN}s"
    whole_seconds = round(seconds)
    if whole_seconds < 3600:
        return f"{whole_seconds // 60}{THIN}min {whole_seconds % 60:02d}{THIN}s"
    minutes = round(seconds / 60)
    return f"{whole(minutes // 60)}{THIN}h {minutes % 60:02d}{THIN}min"


def label(key: str) -> str:
    """Turn a key such as ``with_abstract`` into "With abstract"; leave names as they are."""
    words = key.split(" ")
    if _IDENTIFIER.fullmatch(key) and not _NAME.search(key):
        words = [_WORDS.get(word, word) for word in key.split("_")]
    elif len(words) == 1:
        return key
    if words[0].islower():
        words[0] = words[0].capitalize()
    return " ".join(words)


def metric_label(metric: str) -> str:
    """Turn a metric's key into its name: ``accuracy@1`` into "Accuracy@1"."""
    name, at, k = metric.partition("@")
    return label(name) + at + k


def plural(count: int, one: str, many: str | None = None) -> str:
    """Write a count with its noun: "1 task", "3 tasks"."""
    return f"{whole(count)} {one if count == 1 else many or one + 's'}"


def listed(items: list[str]) -> str:
    """Join with commas and a final "and"."""
    return " and ".join([*([", ".join(items[:-1])] if items[:-1] else []), *items[-1:]])
