"""Where a release may lie: a folder, gzip, an archive, archives in one, MedGen; its manifest."""

from __future__ import annotations

import gzip
import io
import json
import zipfile

import duckdb
import pytest

from balign.errors import DataError
from balign.kg.release import COLUMNS
from balign.kg.settings import HeldOutSettings, KgSettings, RrfSettings

TABLES = ("concept", "atom", "edge", "relation", "semantic_type", "definition", "xref", "source")


def settings_for(path, **rrf) -> KgSettings:
    return KgSettings(
        sources=(),
        rrf=RrfSettings(path=str(path), **rrf),
        held_out=HeldOutSettings(count=0),
    )


def dump(connection: duckdb.DuckDBPyConnection):
    return {table: connection.execute(f"FROM {table}").fetchall() for table in TABLES}


@pytest.fixture
def plain(rrf_files, write_rrf, built):
    return dump(built([], settings_for(write_rrf(rrf_files))))


def zipped(files) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_gzip_archive_and_plain_folder_give_the_same_graph(rrf_files, plain, built, tmp_path):
    packed = tmp_path / "packed"
    packed.mkdir()
    for name, text in rrf_files.items():
        (packed / f"{name}.RRF.gz").write_bytes(gzip.compress(text.encode()))
    assert dump(built([], settings_for(packed))) == plain

    archive = tmp_path / "umls-2026AA-metathesaurus-full.zip"
    members = {f"2026AA/META/{name}.RRF": text for name, text in rrf_files.items()}
    archive.write_bytes(zipped({"2026AA/META/CHANGE/x.RRF": "junk", "README.txt": "", **members}))
    assert dump(built([], settings_for(archive))) == plain


def test_the_full_release_has_archives_of_packed_parts_in_its_archive(
    rrf_files, plain, built, tmp_path
):
    parts = {}
    for name, text in rrf_files.items():
        content, middle = text.encode(), len(text.encode()) // 2
        parts[f"2026AA/META/{name}.RRF.aa.gz"] = gzip.compress(content[:middle])
        parts[f"2026AA/META/{name}.RRF.ab.gz"] = gzip.compress(content[middle:])
    first = dict(list(parts.items())[:6])
    second = dict(list(parts.items())[6:])
    archive = tmp_path / "umls-full.zip"
    inner = {"2026AA/2026aa-1-meta.nlm": zipped(first), "2026AA/2026aa-2-meta.nlm": zipped(second)}
    archive.write_bytes(zipped({**inner, "2026AA/mmsys.zip": zipped({"a": "b"})}))
    assert dump(built([], settings_for(archive))) == plain


def test_carriage_returns_and_a_missing_last_line_feed_change_nothing(
    rrf_files, plain, write_rrf, built
):
    changed = {
        name: text.replace("\n", "\r\n").removesuffix("\r\n") for name, text in rrf_files.items()
    }
    assert dump(built([], settings_for(write_rrf(changed)))) == plain


def test_medgen_names_its_columns_in_the_first_line(built, tmp_path):
    folder = tmp_path / "medgen"
    folder.mkdir()
    files = {
        "MGCONSO": "#CUI|TS|STT|ISPREF|AUI|SAUI|SCUI|SDUI|SAB|TTY|CODE|STR|SUPPRESS|\n"
        "C0018681|P|PF|Y|A1||||MSH|MH|D006261|Headache|N|\n"
        "CN123456|P|PF|Y|A2||||GTR|PT|AN1|Rare thing|N|\n"
        "CN123456|S|VO|N|A3||||GTR|SYN|AN1|Old name|O|\n",
        "MGREL": "#CUI1|AUI1|STYPE1|REL|CUI2|AUI2|RELA|RUI|SAB|SL|SUPPRESS|\n"
        "C0018681|A1|AUI|RO|CN123456|A2|has_manifestation|R1|HPO|HPO|N|\n"
        "CN123456|A2|AUI|RO|C0018681|A1|manifestation_of|R2|HPO|HPO|N|\n",
        "MGSTY": "#CUI|TUI|STN|STY|ATUI|CVF|\nC0018681|T184|A2|Sign or Symptom|AT1||\n",
        "MGDEF": "#CUI|DEF|source|SUPPRESS|\nC0018681|Pain in the head.|NCI|N|\n",
    }
    for name, text in files.items():
        (folder / f"{name}.RRF.gz").write_bytes(gzip.compress(text.encode()))
    graph = built([], settings_for(folder))
    found = dump(graph)
    assert found["concept"] == [
        ("C0018681", "Headache", "MSH"),
        ("CN123456", "Rare thing", "GTR"),
    ]
    assert found["edge"] == [("C0018681", "manifestation_of", "CN123456", "HPO")]
    assert found["definition"] == [("C0018681", "Pain in the head.", "NCI")]
    assert {row[-2] for row in found["source"]} == {0}  # HPO too, which gives edges alone

    (folder / "MGREL.RRF.gz").write_bytes(gzip.compress(b"C0018681|A1|AUI|\n"))
    with pytest.raises(DataError, match=r"first line does not name[^\n]*\n.*MGREL.*line 1"):
        built([], settings_for(folder))


@pytest.mark.parametrize("kind", ["gzip", "archive", "member"])
def test_truncated_archives_are_errors_in_quarantine_too(
    kind, rrf_files, write_rrf, built, tmp_path
):
    rrf_files["MRREL"] *= 5000
    if kind == "gzip":
        path = write_rrf({name: text for name, text in rrf_files.items() if name != "MRREL"})
        content = gzip.compress(rrf_files["MRREL"].encode())
        (path / "MRREL.RRF.gz").write_bytes(content[:-20])
    else:
        path = tmp_path / "umls.zip"
        content = zipped({f"META/{name}.RRF": text for name, text in rrf_files.items()})
        if kind == "archive":
            content = content[: len(content) // 2]
        else:
            place = content.index(b"META/MRREL.RRF") + 200
            content = content[:place] + b"\xff" * 40 + content[place + 40 :]
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"truncated or damaged|neither a folder") as error:
        built([], settings_for(path, on_bad_rows="quarantine"))
    assert "download the release again" in str(error.value) or "as downloaded" in str(error.value)


def test_two_files_for_one_are_refused(rrf_files, write_rrf, built):
    folder = write_rrf(rrf_files)
    (folder / "MRREL.RRF.gz").write_bytes(gzip.compress(b""))
    with pytest.raises(DataError, match=r"two files for MRREL"):
        built([], settings_for(folder))


def listing(files, **wrong):
    lines = []
    for name, text in files.items():
        rows, size = wrong.get(name, (text.count("\n"), len(text.encode())))
        width = len(COLUMNS[name].split())
        lines.append(f"{name}.RRF|x|{','.join(COLUMNS[name].split())}|{width}|{rows}|{size}|\n")
    return "".join(lines)


def test_the_manifest_of_the_release_is_held_to(rrf_files, plain, write_rrf, built, tmp_path):
    rrf_files["MRFILES"] = listing(rrf_files)
    assert dump(built([], settings_for(write_rrf(rrf_files)))) == plain
    text = rrf_files["MRREL"]
    for rows, size in ((11, len(text.encode())), (12, len(text.encode()) + 1)):
        rrf_files["MRFILES"] = listing(rrf_files, MRREL=(rows, size))
        with pytest.raises(DataError, match=rf"12 lines and .* instead of the {rows} and"):
            built([], settings_for(write_rrf(rrf_files)))


def test_quarantine_goes_to_the_database_and_the_counts(
    rrf_files, plain, write_rrf, built, tmp_path
):
    bad = "C0018681|ENG|only|four|\n"
    rrf_files["MRCONSO"] = bad + rrf_files["MRCONSO"] + "cut off"
    graph = built([], settings_for(write_rrf(rrf_files), on_bad_rows="quarantine"))
    assert dump(graph) == plain
    rejects = graph.execute("SELECT line, problem, content FROM reject").fetchall()
    assert rejects == [
        (1, "4 columns instead of 18, each closed by '|'", bad.strip()),
        (13, "1 columns instead of 18, each closed by '|', the last not closed", "cut off"),
    ]
    counts = json.loads((tmp_path / "out" / "counts.json").read_text())
    assert counts["rrf"]["MRCONSO"]["lines in quarantine"] == 2
    assert counts["tables"]["reject"] == 2


def test_without_optional_files_the_rest_is_read(rrf_files, write_rrf, built):
    kept = {name: rrf_files[name] for name in ("MRCONSO", "MRREL")}
    found = dump(built([], settings_for(write_rrf(kept))))
    assert found["definition"] == found["semantic_type"] == []
    assert {source: level for source, _, _, level, _ in found["source"]} == {
        "HPO": 9,
        "MSH": 9,
        "OTHER": 9,
        "UMLS": 0,
    }
