"""A full disk and a folder that cannot be written to, with real file systems."""

import shutil

import pytest

FULL = ("the disk is full", "free space there, then give the same command again")


def test_a_full_disk_and_the_same_command_when_there_is_space(small_run, in_mounts, contents):
    before = contents(small_run, "kg")
    shutil.rmtree(small_run.results / "kg")
    said = in_mounts(
        small_run,
        """
        cp -a results kept && mount -t tmpfs -o size=20m tmpfs results && cp -a kept/. results
        space=$(df --output=avail -k results | tail -1)
        dd if=/dev/zero of=results/filler bs=1k count=$((space - 100)) status=none
        snakemake --cores 2 kg; echo "ended:$?"
        find results -path '*kg*' -name '*kg.duckdb*' -o -name '*.tmp'
        rm results/filler
        snakemake --cores 2 kg; echo "ended:$?"
        cp -a results/small/kg kept/small
        """,
    )
    first, second = said.split("ended:1\n")
    assert "No space left on device" in first
    assert "free space on that disk" in first
    assert "results" not in second.split("Using workflow")[0]  # no half result is left
    assert second.rstrip().endswith("ended:0")
    shutil.copytree(small_run.folder / "kept" / "small" / "kg", small_run.results / "kg")
    assert contents(small_run, "kg") == before


PAPERS = "--source pubmed/pubmed26n0001.xml.gz"
LINKED = "results/small/linking/mentions/pubmed26n0001.parquet"


@pytest.mark.parametrize(
    ("size", "command"),
    [
        ("8k", f"corpus parse {PAPERS} --output full/papers.parquet"),
        ("16k", "linking index --database results/small/kg/kg.duckdb --output full/index"),
        (
            "16k",
            "pretrain tokenize --encoder encoder --corpus results/small/corpus --mentions "
            f"{LINKED} --graph results/small/graph --output full/tokens",
        ),
    ],
    ids=["corpus", "linking", "pretrain"],
)
def test_each_writer_says_that_the_disk_is_full(finished_run, in_mounts, tmp_path, size, command):
    run = finished_run.copied(tmp_path / "run")
    script = f"""
        mkdir full && mount -t tmpfs -o size={size} tmpfs full
        python -m balign {command}; echo "ended:$?"
        ls -A full
        """
    said = in_mounts(run, script)
    for part in FULL:
        assert part in said
    assert "where: " in said
    assert "Traceback" not in said
    assert said.rstrip().endswith("ended:1")  # and nothing is left in the folder


def test_results_that_cannot_be_written_to(small_run, in_mounts, contents):
    before = contents(small_run)
    small_run.replace("config/config.yaml", "examples: 2", "examples: 3")
    said = in_mounts(
        small_run,
        """
        mount --bind results results && mount -o remount,ro,bind results
        snakemake --cores 2; echo "ended:$?"
        python -m balign kg export --database results/small/kg/kg.duckdb --folder results/x; echo $?
        """,
    )
    assert "the folder cannot be written to: it is read-only" in said
    assert "paths.data and paths.results" in said
    assert "ended:1" in said
    assert "Traceback" not in said
    assert contents(small_run) == before
