"""What each rule of the dictionary is worth, on annotated abstracts.

    python -m benchmarks.linking.ablation --database kg.duckdb --source MANIFEST.json --part dev

An index is built with all rules, with each rule alone switched off, and with all of them off (the
plain longest match of the first version), and scored by ``balign evaluate linking-gold``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from balign.evaluate.linking_gold import evaluate_linking_gold
from balign.linking.backends import linking_index
from balign.linking.settings import DictionarySettings, LinkingSettings
from benchmarks.measure import show

SWITCHES = ("symbols", "hyphens", "plurals", "greek", "inverted", "abbreviations")


def variants(no_stop_words: Path) -> dict[str, dict[str, Any]]:
    """Return the settings that differ, by what the table calls them."""
    rules: dict[str, dict[str, Any]] = {name: {name: False} for name in SWITCHES}
    rules["type prior"] = {"ambiguity": ["preferred", "rank"]}
    rules["ambiguity (all of it)"] = {"ambiguity": []}
    rules["stop words"] = {"stop_words": str(no_stop_words)}
    plain = dict.fromkeys(SWITCHES, False) | {"ambiguity": ["preferred", "rank"]}
    return {
        "all rules": {},
        **{f"without {name}": values for name, values in rules.items()},
        "none but stop words (first version)": plain,
    }


def score(
    database: Path, source: Path, part: str, values: Mapping[str, Any], folder: Path
) -> dict[str, Any]:
    """Build the index by some settings and score it."""
    settings = LinkingSettings(dictionary=DictionarySettings(**values))
    linking_index(database, settings, folder / "index")
    result = evaluate_linking_gold(
        database, source, folder / "index", settings, [part], folder / "result.json"
    )
    return dict(result["parts"][part]["types"])


def main() -> None:
    """Score every variant and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", type=Path, required=True)
    parser.add_argument("--source", type=Path, required=True, help="MANIFEST.json of BC5CDR")
    parser.add_argument("--part", default="dev", choices=("train", "dev", "test"))
    parser.add_argument("--only", nargs="*", help="rows of the table, all by default")
    parser.add_argument("--json", type=Path, help="write the scores here too")
    arguments = parser.parse_args()
    rows, scores = [], {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "empty.txt").touch()
        for label, values in variants(folder / "empty.txt").items():
            if arguments.only and label not in arguments.only:
                continue
            found = score(arguments.database, arguments.source, arguments.part, values, folder)
            scores[label] = found
            cells = []
            for kind in ("Disease", "Chemical"):
                for level in ("span", "concept", "document"):
                    one = found[kind][level]
                    cells.append(
                        f"{100 * one['precision']:.1f} {100 * one['recall']:.1f} "
                        f"{100 * one['f1']:.1f}"
                    )
            rows.append([label, *cells])
            print(rows[-1], flush=True)
    columns = [f"{kind} {level}" for kind in ("disease", "chemical") for level in
               ("span", "concept", "document")]  # fmt: skip
    show(f"BC5CDR {arguments.part}: precision, recall, F1 in percent", ["", *columns], rows)
    if arguments.json:
        arguments.json.write_text(json.dumps(scores, indent=1) + "\n")


if __name__ == "__main__":
    main()
