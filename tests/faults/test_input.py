"""What is wrong with what comes in: configuration, key, downloads, XML, archives, models.

Through the commands that a user gives. The same at the readers, with more cases: entities in
tests/corpus/test_parse.py and tests/kg/test_mesh_xml.py, archives in tests/sources/test_package.py
and test_places.py, pickles in tests/test_embedding.py, tests/pretrain/test_encoder.py and
tests/sources/test_hub.py, keys of the configuration in tests/test_config.py.
"""

import gzip
import pickle
import zipfile

import pytest
import yaml

LAUGHS = '<!ENTITY a0 "ha">' + "".join(
    f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10)
)


@pytest.fixture
def run(fresh_run, tmp_path):
    run = fresh_run.copied(tmp_path / "run")
    run.replace("registry.yaml", str(fresh_run.folder), str(run.folder))
    return run


def change(run, **stages):
    """Change settings of the run's configuration."""
    path = run.folder / "config" / "config.yaml"
    settings = yaml.safe_load(path.read_text())
    for stage, values in stages.items():
        settings[stage] |= values
    path.write_text(yaml.safe_dump(settings))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "bootstrap_samples: 100",
            "bootstrap_sample: 100",
            (
                "unknown configuration key 'evaluate.bootstrap_sample'",
                "line 6",
                "bootstrap_samples",
            ),
        ),
        ("seed: 1", "seed: one", ("evaluate.tasks[1].seed", "valid integer", "config.yaml, line ")),
        ("- mine", "- mien", ("no source 'mien' in the registry", "did you mean 'mine'?")),
    ],
    ids=["key", "value", "source"],
)
def test_a_wrong_configuration(run, old, new, said):
    run.replace("config/config.yaml", old, new)
    output = run.snakemake(status=1)
    for part in said:
        assert part in output
    assert "Traceback" not in output
    assert not run.results.joinpath("kg").exists()


def test_a_missing_key(run):
    output = run.balign("sources", "umls", "--output", "umls.zip", UMLS_API_KEY="", status=1)
    assert "UMLS_API_KEY is not set" in output
    assert "hint:" in output
    assert not (run.folder / "umls.zip").exists()


def test_a_corrupted_download_is_refused_and_not_kept(run):
    ontology = run.folder / "my.obo"
    ontology.write_text(ontology.read_text().replace("asthma", "asthmA", 1))
    output = run.snakemake("kg", status=1)
    assert "source 'mine' 1: no place gave my.obo" in output
    assert "sha256" in output
    assert not list((run.folder / "data").rglob("*my.obo*"))
    assert not (run.results / "kg" / "kg.duckdb").exists()
    ontology.write_text(ontology.read_text().replace("asthmA", "asthma", 1))
    run.snakemake("sources")


@pytest.mark.parametrize("entities", [LAUGHS, '<!ENTITY a9 SYSTEM "file://{secret}">'])
def test_poisoned_pubmed(run, entities):
    secret = run.folder / "secret.txt"
    secret.write_text("TOPSECRET")
    path = run.folder / "pubmed" / "pubmed26n0002.xml.gz"
    text = gzip.decompress(path.read_bytes()).decode().partition("?>")[2]
    head = f"<!DOCTYPE PubmedArticleSet [{entities.replace('{secret}', str(secret))}]>"
    path.write_bytes(gzip.compress((head + text.replace("On aspirin", "&a9;", 1)).encode()))
    output = run.snakemake("corpus", "--keep-going", status=1)
    assert "pubmed26n0002.xml.gz" in output
    assert "declares entities" in output
    assert "Traceback" not in output
    # The other file was parsed, and nothing of this one was let in.
    parsed = run.results / "corpus" / "parsed"
    assert {path.name for path in parsed.iterdir()} == {"pubmed26n0001.parquet"}
    assert "TOPSECRET" not in output


def test_poisoned_mesh(run):
    text = (
        f"<!DOCTYPE DescriptorRecordSet [{LAUGHS}]><DescriptorRecordSet><DescriptorRecord>"
        "<DescriptorUI>D1</DescriptorUI><DescriptorName><String>&a9;</String></DescriptorName>"
        "</DescriptorRecord></DescriptorRecordSet>"
    )
    (run.folder / "desc2026.xml").write_text(text)
    entry = run.balign("sources", "entry", "desc2026.xml", "--name", "mesh", "--format", "mesh_xml")
    registry = run.folder / "registry.yaml"
    registry.write_text(registry.read_text() + entry)
    change(run, kg={"sources": ["mine", "mesh"]})
    output = run.snakemake("kg", status=1)
    assert "desc2026.xml" in output
    assert "the file declares entities of its own" in output
    assert not (run.results / "kg" / "kg.duckdb").exists()


def test_a_poisoned_archive_writes_nothing_outside(run):
    row = "C0000001|ENG|P||PF||Y|A1||||MSH|PT|1|Poison|0|N||\n"
    with zipfile.ZipFile(run.folder / "umls.zip", "w") as packed:
        for name in ("../../escaped.RRF", "/tmp/escaped.RRF", "META/MRCONSO.RRF"):
            packed.writestr(name, row)
    change(run, kg={"rrf": {"path": "umls.zip"}})
    run.ends("snakemake", "--cores", "2", "kg")
    escaped = list(run.folder.parent.rglob("escaped*"))
    assert not escaped


class Payload:
    def __reduce__(self):
        import os

        return os.system, ("touch payload-ran",)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
def test_a_pickle_offered_as_a_model_is_never_opened(finished_run, tmp_path, name):
    run = finished_run.copied(tmp_path / "run")
    (run.folder / "encoder").rename(run.folder / "evil")
    (run.folder / "evil" / "model.safetensors").unlink()
    (run.folder / "evil" / name).write_bytes(pickle.dumps(Payload()))
    (run.folder / "data" / "none").mkdir(parents=True)
    output = run.balign(
        "evaluate", "predict", "names", "--model-name", "base", "--model", "evil", "--seed", "1",
        "--database", "results/small/kg/kg.duckdb", "--output", "out/seed1.parquet", status=1,
    )  # fmt: skip
    assert "safetensors" in output
    assert "evil" in output
    assert not list(run.folder.rglob("payload-ran"))
    assert not list(run.folder.glob("out/*"))
