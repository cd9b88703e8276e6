"""A user's own ontology, from the file to the graph, by the commands that docs/kg.md shows."""

import pytest
import yaml

OBO = """format-version: 1.4

[Term]
id: MY:1
name: mine

[Term]
id: MY:2
name: my second term
synonym: "another of mine" EXACT []
xref: MESH:D000100
is_a: MY:1 ! mine
"""


@pytest.fixture
def own(tmp_path):
    """A file, a registry with another entry, and a configuration that reads both."""
    (tmp_path / "my terms.obo").write_text(OBO)
    registry = tmp_path / "registry.yaml"
    registry.write_text(
        "sources:\n  - {name: other, version: '1', what: x, licence: x, format: files,"
        " homepage: 'https://x.org', files: [{name: x, bytes: 0, places: ['https://x.org/x'],"
        f" sha256: '{'0' * 64}'}}]}}\n"
    )
    config = tmp_path / "config.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "paths": {"data": str(tmp_path / "data")},
                "sources": {"registry": str(registry)},
                "kg": {"sources": ["mine"], "held_out": {"count": 0}},
            }
        )
    )
    return tmp_path


def test_from_a_file_to_the_graph(own, balign):
    entry = balign(
        "sources", "entry", own / "my terms.obo", "--name", "mine", "--format", "obo",
        "--version", "2026-01", "--licence", "CC BY 4.0: mine", "--url", "https://x.org/my.obo",
    )  # fmt: skip
    assert entry.returncode == 0, entry.stderr
    with (own / "registry.yaml").open("a") as registry:
        registry.write(entry.stdout)
    config = ("--config", own / "config.yaml")
    fetched = balign("sources", "fetch", "mine", *config)
    assert fetched.returncode == 0, fetched.stderr
    built = balign(
        "kg", "build", "--source", own / "data/sources/mine/2026-01/MANIFEST.json", *config,
        "--database", own / "kg.duckdb", "--counts", own / "counts.json",
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    found = balign("kg", "show", "another of mine", "--database", own / "kg.duckdb")
    for part in ("my second term", "mine [MY:1]", "MESH:D000100", "CC BY 4.0: mine"):
        assert part in found.stdout
    # A file that has changed since is not taken for the same.
    (own / "my terms.obo").write_text(OBO.replace("second", "third"))
    (own / "data/sources/mine/2026-01/my terms.obo").unlink()
    again = balign("sources", "fetch", "mine", *config)
    assert again.returncode == 1
    assert "bytes, the registry has" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.obo", "--name", "x", "--format", "obo"), "no such file"),
        (("my terms.obo", "--name", "not good", "--format", "obo"), "name: String should match"),
        (("my terms.obo", "--name", "x", "--format", "word"), "format: Input should be"),
        (("my terms.obo", "--name", "x", "--format", "obo", "--url", "ftp://x"), "files"),
    ],
)
def test_what_is_no_entry(own, balign, arguments, message):
    run = balign("sources", "entry", own / arguments[0], *arguments[1:])
    assert run.returncode == 1
    assert message in run.stderr
