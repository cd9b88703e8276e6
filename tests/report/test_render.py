"""The page as a whole: stands alone, escapes, says what was skipped, keeps to the licences."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import duckdb
import pytest

from balign.errors import DataError, SourceError
from balign.report.render import Inputs

HOSTILE = "<script>alert(1)</script>"
WORKFLOW = Path(__file__).parents[2] / "workflow"


class _Page(HTMLParser):
    """Collects tags with their attributes and the text; checks that tags close in order."""

    void = frozenset({"meta", "link", "br", "img", "input", "hr"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.void:
            self._open.append(tag)

        self.text += " "

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_folder_holds_page_figures_and_table(page, folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    figures = {
        f"{name}.{kind}" for name in ("graph", "training", "leaderboard") for kind in ("svg", "png")
    }
    assert names == {"index.html", "leaderboard.csv"} | figures
    assert (folder / "leaderboard.csv").read_text() == "task,model,mean\n"


def test_same_input_same_bytes(page, folder: Path, make_run, render, tmp_path: Path) -> None:
    render(make_run())  # the same run, written and rendered again elsewhere
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "report" / path.name).read_bytes(), path.name


def test_page_is_well_formed_and_needs_nothing_else(page) -> None:
    parsed = _Page(page)
    names = {tag for tag, _ in parsed.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "base", "image"}
    for tag, attributes in parsed.tags:
        assert not any(name.startswith("on") for name in attributes), tag
        address = attributes.get("xlink:href") or ""
        assert address == "" or address.startswith("#")
        assert "src" not in attributes and "srcset" not in attributes
    assert "@import" not in page
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", page))
    links = [attributes["href"] for attributes in parsed.all("a")]
    assert all(re.match(r"#|https://|leaderboard\.csv$", str(link)) for link in links)


def test_page_is_accessible(page) -> None:
    parsed = _Page(page)
    assert parsed.all("html")[0]["lang"] == "en"
    assert all(
        attributes.get("aria-label") for attributes in parsed.all("div") if "role" in attributes
    )
    assert all(attributes.get("scope") for attributes in parsed.all("th"))
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    anchors = {str(a["href"])[1:] for a in parsed.all("a") if str(a["href"]).startswith("#")}
    assert anchors <= set(ids)
    levels = [int(tag[1]) for tag, _ in parsed.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_colours_have_contrast() -> None:
    css = (WORKFLOW / "balign/report/page.css").read_text()
    themes = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    assert len(themes) == 2
    for theme in themes:
        colours = dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", theme))
        pairs = [("ink", "paper"), ("soft", "paper"), ("soft", "panel"), ("link", "paper")]
        pairs += [("ink", "mark"), ("good", "good-paper"), ("bad", "bad-paper"), ("ink", "line")]
        for ink, paper in pairs:
            assert _contrast(colours[ink], colours[paper]) >= 4.5, (ink, paper)
        for name in colours:
            if name.startswith("series"):  # WCAG 1.4.11: graphics need 3
                assert _contrast(colours[name], colours["paper"]) >= 3, name


def _contrast(first: str, second: str) -> float:
    """Contrast ratio of WCAG 2."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (
            x / 12.92 if x <= 0.03928 else ((x + 0.055) / 1.055) ** 2.4 for x in parts
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted([luminance(first), luminance(second)])
    return (high + 0.05) / (low + 0.05)


def test_hostile_text_is_escaped(make_run, render) -> None:
    page = render(make_run(), title=f"A {HOSTILE} title")
    assert "<script" not in page
    assert page.count("<mark>&lt;script&gt;alert(1)&lt;/script&gt;</mark>") == 1
    assert "no network &amp; no mirror" in page
    assert "title: &lt;b&gt;" in page  # the configuration
    assert "javascript:" not in page  # the homepage of a source


def test_mentions_are_marked_where_they_are(page) -> None:
    assert "<blockquote><mark>Asthma</mark> in children</blockquote>" in page
    assert "</mark> &amp; <mark>asthma</mark>.</blockquote>" in page
    assert "score 0.88" in page


def test_restricted_and_held_out_names_are_absent(page) -> None:
    assert "Secretonym" not in page
    assert "Bronchial asthma" not in page
    assert "Lung disease" in page  # the second name of C2, the first being restricted
    assert "C9" in page and "1 not shown" in page


def test_result_is_told_as_it_is(page) -> None:
    text = " ".join(_Page(page).text.split())
    assert "bali against the untouched encoder: worse on both tasks." in text
    assert (
        "bali against the control without the graph: not clearly different on both tasks." in text
    )
    assert "−2.2 worse" in text and "+1.3 not clear" in text
    assert "1 315" in text


def test_what_was_skipped_is_listed_with_what_to_do(page) -> None:
    section = page[page.index('id="skipped"') : page.index('id="provenance"')]
    assert "Source bc5cdr" in section and "no network &amp; no mirror" in section
    assert "balign sources retry" in section and "BALIGN_MIRROR" in section
    assert "Task bc5cdr-linking" in section and "base and mlm" in section
    assert "bc5cdr is not here" in section


def test_counts_sources_and_seconds_are_shown(page) -> None:
    text = " ".join(_Page(page).text.split())
    for part in ("33 278", "2 643", "Self loop", "abababababab", "31.84", "1 min 33 s"):
        assert part in text, part
    assert "linking_link 2 7.2 s 100 MB" in text
    assert "report_render" not in text
    assert "kg_build 1 1 min 02 s 512 MB" in text


def test_no_models_no_mentions_no_scores(make_run, render) -> None:
    run = make_run(mentions=False, models=(), scores=False)
    text = " ".join(_Page(render(run)).text.split())
    assert "No model was trained" in text
    assert "No task gave a score" in text
    assert "No sentence holds a mention." in text
    assert "Concepts and their neighbours" in text and "Asthma" in text  # drawn without mentions


def test_no_aligned_model(make_run, render) -> None:
    text = " ".join(_Page(render(make_run(models=("mlm",)))).text.split())
    assert "No aligned model was evaluated" in text
    assert "base and mlm only" in text


def test_no_examples(make_run, render) -> None:
    page = render(make_run(), examples=0)
    assert page.count("No example was asked for.") == 2
    assert "<mark>" not in page


def test_nothing_skipped_and_no_benchmarks(make_run, render) -> None:
    run: Inputs = make_run()
    board = json.loads(run.leaderboard.read_text())
    run.leaderboard.write_text(json.dumps({**board, "skipped": []}))
    fewer = Inputs(**{**vars(run), "manifests": run.manifests[:1], "benchmarks": None})
    page = render(fewer)
    assert "Nothing was skipped" in page
    assert "Time by rule" not in page


def test_failure_leaves_the_old_report(make_run, render, tmp_path: Path) -> None:
    run: Inputs = make_run()
    before = render(run)
    (run.models[0] / "metrics.jsonl").write_text('{"step": 1}\n')
    with pytest.raises(DataError, match="not a line of metrics"):
        render(run)
    assert (tmp_path / "report/index.html").read_text() == before
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_broken_inputs_are_named(make_run, render) -> None:
    run: Inputs = make_run()
    run.manifests[0].write_text("[]")
    with pytest.raises(SourceError, match="manifest"):
        render(run)
    other = Inputs(**{**vars(run), "manifests": []})
    run.leaderboard.write_text('{"rows": [{"task": "x"}], "skipped": []}')
    with pytest.raises(DataError, match="not a leaderboard"):
        render(other)
    with duckdb.connect(str(run.kg / "kg.duckdb")) as connection:
        connection.execute("ALTER TABLE source DROP COLUMN licence")
    with pytest.raises(DataError, match="not a knowledge graph"):
        render(other)


def test_command_line_does_not_depend_on_the_hash_seed(make_run, tmp_path: Path) -> None:
    run: Inputs = make_run(models=("bali",), scores=False)
    config = tmp_path / "config.yaml"
    config.write_text("report: {title: From the command line}\n")
    pages = []
    for seed in ("1", "2"):
        output = tmp_path / f"cli{seed}"
        command = [sys.executable, "-m", "balign", "report", "render", "-c", str(config)]
        for name in ("kg", "corpus", "linking", "graph", "leaderboard", "benchmarks"):
            command += [f"--{name}", str(getattr(run, name))]
        for name, paths in (
            ("manifest", run.manifests),
            ("tokens", run.tokens),
            ("model", run.models),
        ):
            for path in paths:
                command += [f"--{name}", str(path)]
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(WORKFLOW)}
        done = subprocess.run(
            [*command, "--output", str(output)], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        pages.append({path.name: path.read_bytes() for path in sorted(output.iterdir())})
    assert pages[0] == pages[1]
    assert b"From the command line" in pages[0]["index.html"]
