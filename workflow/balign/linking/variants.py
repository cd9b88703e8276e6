"""Further spellings of names, made where an index is built.

``inverted``: a name with ", " is read as inverted, as in MeSH: "Syndrome, Marfan" is "Marfan
Syndrome", "Leukemia, Lymphocytic, Chronic" is "Chronic Lymphocytic Leukemia". It also loses its
comma before a type or stage, as in "diabetes mellitus type 2". No order is made where a part begins
with a word that binds backwards ("with", "and", "due" ...). ", NOS" goes.

``greek``: "alpha-", "beta-", "gamma-" and "delta-" before a letter may be written "a-", "b-", "g-"
and "d-"; a text's "a-" is never taken for the article (:mod:`balign.linking.tokens`).
"""

from __future__ import annotations

import polars as pl

_BINDS = (
    r"(?i), (?:and|or|with|without|due|in|of|on|from|by|to|for|not|other|including|except|"
    r"unspecified|nos|e\.g\.|i\.e\.)\b"
)
_NUMBERED = r"(?i), (?:type|stage|grade|class|group|subtype|variant) \S{1,4}$"
_NOS = r"(?i),? NOS$"
_PREFIXES = (("alpha|α", "a"), ("beta|β", "b"), ("gamma|γ", "g"), ("delta|δ", "d"))


def variants(names: pl.Series, inverted: bool, greek: bool) -> pl.DataFrame:
    """Return the further spellings of names.

    Returns:
        ``row`` (uint32, position of the name) and ``name``, without the names themselves.
    """
    table = pl.DataFrame({"name": names}).with_row_index("row")
    name = pl.col("name")
    parts = []
    if inverted:
        whole = name.str.replace(_NOS, "")
        commas = table.filter(name.str.contains(r"(?i), |,? NOS$")).with_columns(plain=whole)
        straight = pl.col("plain").str.split(", ").list.reverse().list.join(" ")
        parts += [
            commas.filter(~pl.col("plain").str.contains(_BINDS)).select("row", name=straight),
            commas.filter(pl.col("plain").str.contains(_NUMBERED)).select(
                "row", name=pl.col("plain").str.replace_all(", ", " ", literal=True)
            ),
        ]
    if greek:
        for long, short in _PREFIXES:
            pattern = rf"(?i)(^|[^\pL\pN])(?:{long})-(\pL)"
            some = table.filter(name.str.contains(pattern))
            parts.append(
                some.select("row", name=name.str.replace_all(pattern, f"${{1}}{short}-${{2}}"))
            )
    if not parts:
        return table.clear()
    made = pl.concat(parts).unique(maintain_order=True)
    return made.join(table, on=["row", "name"], how="anti", maintain_order="left")
