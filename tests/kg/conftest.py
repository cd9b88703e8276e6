"""Small sources of every format, written by hand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from balign.kg.build import kg_build
from balign.kg.release import COLUMNS
from balign.kg.settings import KgSettings

OBO = r"""format-version: 1.2
data-version: hp/releases/test

[Term]
id: HP:0000001
name: All

[Term]
id: HP:0000118
name: Phenotypic abnormality
is_a: HP:0000001 ! All

[Term]
id: HP:0002315
name: Headache
alt_id: HP:0000266
def: "Pain \"in the head\", \\ cephalgia." [PMID:1 "a, b", HPO:x]
synonym: "Headaches" EXACT plural_form [HPO:skoehler]
synonym: "Head ache, \"so called\"" EXACT layperson []
synonym: "Discomfort of head" BROAD [] {xref="x"}
synonym: "Old word for headache" RELATED obsolete_synonym []
synonym: "obsolete Cranial pain" EXACT []
xref: UMLS:C0018681
xref: SNOMEDCT_US:25064002
xref: PMID:123 "a reference"
is_a: HP:0000118 {source="x"} ! Phenotypic abnormality

[Term]
id: HP:0001250
name: Seizure
synonym: "Epileptic seizure" EXACT []
xref: UMLS:C0036572
is_a: HP:0000118 ! Phenotypic abnormality
relationship: part_of HP:0002315 ! Headache

[Term]
id: HP:0000999
name: obsolete Something
is_obsolete: true

[Typedef]
id: part_of
name: part of
"""

HPOA = """#description: "HPO annotations"
#version: 2025-01-16
database_id\tdisease_name\tqualifier\thpo_id\tonset\taspect
OMIM:100\tTremor-headache syndrome\t\tHP:0000266\t\tP
OMIM:100\tTremor-headache syndrome\tNOT\tHP:0001250\t\tP
OMIM:100\tTremor-headache syndrome\t\tHP:0000006\t\tI
ORPHA:77\tUnheard-of disease\t\tHP:0001250\t\tP
ORPHA:77\tUnheard-of disease\t\tHP:7654321\t\tP
"""

MONDO = [
    {"id": "0000001", "name": "disease", "namespace": "mondo"},
    {
        "id": "0000100",
        "name": "tremor headache",
        "namespace": "mondo",
        "synonyms": ["shaking head sickness", "  "],
        "relations": {"is_a": ["0000001"], "excluded_subClassOf": ["0000200"]},
        "xrefs": [
            {"namespace": "OMIM", "id": "100"},
            {"namespace": "UMLS", "id": "C1111111"},
            {"namespace": "UMLS", "id": "CN228161"},
            {"namespace": "MESH", "id": "D000100"},
            {"namespace": "SCTID", "id": "42"},
        ],
    },
    {
        "id": "0000200",
        "name": "leukemia",
        "namespace": "mondo",
        "synonyms": ["cancer of white cells", "blood cancer", "leukaemias"],
        "relations": {"is_a": ["0000001"], "seeAlso": ["0000100"]},
        "alt_ids": ["0000201"],
    },
]

MESH = (
    "D000100\tTremor Headaches\tHeadaches, Tremor\tC10.100\t\n"
    "D000200\tDiseases of Nerves\t\tC10|C23.5\t\n"
    "D007938\tLeukemia\tLeucocythemia|Leucocythemias\tC04.557\t\n"
    "D000045\tAcacia\tAcacias|Wattle Tree\tB01.875\t138017\n"
)

SSSOM = """# mapping_set_id: test
subject_id\tpredicate_id\tobject_id
MONDO:0000200\tskos:exactMatch\tUMLS:C0023418
MONDO:0000001\tskos:broadMatch\tUMLS:C0012634
"""


@pytest.fixture
def write_source(tmp_path: Path) -> Callable[..., Path]:
    """Write a fetched source by the contract and return its manifest."""

    def write(name: str, form: str, files: dict[str, str | bytes], **changes: object) -> Path:
        folder = tmp_path / "sources" / name / "1"
        folder.mkdir(parents=True)
        records = {}
        for file, text in files.items():
            data = text if isinstance(text, bytes) else text.encode()
            (folder / file).write_bytes(data)
            digest = hashlib.sha256(data).hexdigest()
            records[file] = {"sha256": digest, "bytes": len(data), "place": "https://x.org"}
        manifest: dict[str, object] = {
            "name": name,
            "version": "1",
            "format": form,
            "licence": "CC0",
            "homepage": "https://x.org",
            "status": "ok",
            "reason": None,
            "files": records,
        }
        path = folder / "MANIFEST.json"
        path.write_text(json.dumps(manifest | changes))
        return path

    return write


@pytest.fixture
def manifests(write_source: Callable[..., Path]) -> list[Path]:
    """The sources hpo, mondo, mesh and mondo-umls, tiny."""
    return [
        write_source("hpo", "obo", {"hp.obo": OBO, "phenotype.hpoa": HPOA}),
        write_source("mondo", "indra_json", {"mondo.json": json.dumps(MONDO)}),
        write_source("mesh", "mesh_table", {"mesh.tsv": MESH}),
        write_source("mondo-umls", "sssom", {"map.sssom.tsv": SSSOM}),
    ]


SETTINGS = KgSettings(sources=("hpo", "mondo", "mesh", "mondo-umls"))


@pytest.fixture
def settings() -> KgSettings:
    return SETTINGS


@pytest.fixture
def built(tmp_path: Path) -> Callable[..., duckdb.DuckDBPyConnection]:
    """Build a graph in a folder and open it."""

    def build(
        manifests: list[Path], settings: KgSettings, name: str = "out"
    ) -> duckdb.DuckDBPyConnection:
        folder = tmp_path / name
        kg_build(manifests, settings, folder / "kg.duckdb", folder / "counts.json")
        return duckdb.connect(str(folder / "kg.duckdb"), read_only=True)

    return build


def _row(name: str, **values: str) -> str:
    columns = COLUMNS[name].split()
    assert not set(values) - set(columns)
    return "|".join(values.get(column, "") for column in columns) + "|\n"


def _atom(cui: str, aui: str, text: str, **values: str) -> str:
    usual = {"LAT": "ENG", "TS": "S", "STT": "VO", "ISPREF": "N", "SAB": "MSH", "TTY": "ET"}
    usual |= {"CODE": "D000001", "SRL": "0", "SUPPRESS": "N"}
    return _row("MRCONSO", **(usual | {"CUI": cui, "AUI": aui, "STR": text} | values))


def _edge(one: str, rel: str, rela: str, two: str, **values: str) -> str:
    usual = {"SAB": "MSH", "SUPPRESS": "N"}
    return _row("MRREL", CUI1=one, REL=rel, RELA=rela, CUI2=two, **(usual | values))


BEST = {"TS": "P", "STT": "PF", "ISPREF": "Y", "TTY": "MH"}


@pytest.fixture
def rrf_files() -> dict[str, str]:
    """A release of three kept concepts, by the columns of the UMLS Reference Manual."""
    conso = [
        _atom("C0018681", "A1", '"Headache', CODE="D006261", TTY="ET"),
        _atom("C0018681", "A2", "Headache", CODE="D006261", **BEST),
        _atom("C0018681", "A3", "céphalée", LAT="FRE", CODE="D006261"),
        _atom("C0018681", "A4", "Cephalodynia", SUPPRESS="O", CODE="D006261"),
        _atom("C0018681", "A5", "Kephalgia", CODE="HP:0002315", SAB="HPO", TTY="PT"),
        _atom("C0018681", "A6", "Headache", CODE="HP:0002315", SAB="HPO", TTY="SY"),
        _atom("C0018681", "A7", "Sjögren pain", CODE="NOCODE", SAB="OTHER", TTY="PT"),
        _atom("C0030193", "A10", "NA", CODE="D010146"),
        _atom("C0030193", "A11", "Pain", CODE="D010146", **BEST),
        _atom("C0030193", "A12", "Head pain entry", CODE="D006261"),
        _atom("C0000003", "A20", "None", CODE="X1", SAB="OTHER", **BEST),
    ]
    rel = [
        _edge("C0018681", "PAR", "", "C0030193"),  # C0030193 is the parent
        _edge("C0030193", "CHD", "", "C0018681"),  # the same, from the other side
        _edge("C0018681", "RO", "isa", "C0000003"),  # C0000003 isa C0018681
        _edge("C0000003", "RO", "inverse_isa", "C0018681"),
        _edge("C0030193", "RO", "treats", "C0000003"),
        _edge("C0000003", "RO", "treated_by", "C0030193"),
        _edge("C0030193", "RO", "", "C0000003"),
        _edge("C0000003", "RO", "", "C0030193"),
        _edge("C0030193", "RO", "", "C0030193"),
        _edge("C0030193", "RQ", "", "C0018681"),
        _edge("C0030193", "RB", "", "C0018681", SUPPRESS="O"),
        _edge("C0030193", "RB", "", "C9999999"),
    ]
    sab = [
        _row("MRSAB", RSAB="MSH", VSAB="MSH2025", SVER="2025", SRL="0", CURVER="Y", IMETA="2025AA"),
        _row("MRSAB", RSAB="HPO", VSAB="HPO2025", SVER="2025-01", SRL="0", CURVER="Y"),
        _row("MRSAB", RSAB="OTHER", SVER="7", SRL="3", CURVER="Y"),
        _row("MRSAB", RSAB="OTHER", SVER="6", SRL="1", CURVER="N"),
    ]
    definitions = [
        _row("MRDEF", CUI="C0018681", AUI="A2", SAB="MSH", DEF="Pain in the head.", SUPPRESS="N"),
        _row("MRDEF", CUI="C0018681", AUI="A3", SAB="MSH", DEF="Mal de tête.", SUPPRESS="N"),
    ]
    types = [
        _row("MRSTY", CUI="C0018681", TUI="T184", STY="Sign or Symptom"),
        _row("MRSTY", CUI="C9999999", TUI="T047", STY="Disease or Syndrome"),
    ]
    doc = [_row("MRDOC", DOCKEY="RELA", VALUE="treats", TYPE="rela_inverse", EXPL="treated_by")]
    return {
        "MRCONSO": "".join(conso),
        "MRREL": "".join(rel),
        "MRSAB": "".join(sab),
        "MRDEF": "".join(definitions),
        "MRSTY": "".join(types),
        "MRDOC": "".join(doc),
    }


@pytest.fixture
def write_rrf(tmp_path: Path) -> Callable[[dict[str, str]], Path]:
    def write(files: dict[str, str]) -> Path:
        folder = tmp_path / "META"
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            (folder / f"{name}.RRF").write_text(text, encoding="utf-8", newline="")
        return folder

    return write
