"""Fixtures that every test folder may use."""

import gzip
import json
import os
import re
import shutil
import string
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest
import yaml

# No test fails because a machine is busy.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

ROOT = Path(__file__).resolve().parents[1]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = list(string.ascii_lowercase)
ILLS = ["asthma", "fever", "anaemia", "gout", "measles", "malaria", "rickets", "scurvy"]
DRUGS = ["aspirin", "insulin", "quinine", "iron", "heparin", "codeine", "zinc", "morphine"]
WORDS = ["heart", "attack", "asthma", "disease", "patients", "mice", "women", "children"]


def pytest_collection_modifyitems(items):
    """Keep together, in a worker of `make test`, the tests of a file and those of the whole run."""
    for item in items:
        whole = {"finished_run", "fresh_run"} & set(item.fixturenames)
        item.add_marker(pytest.mark.xdist_group("run" if whole else item.path.name))


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture
def balign():
    """Run the command line in a process of its own and return the finished process."""

    def run(*arguments, **environment):
        own = {"PYTHONPATH": str(ROOT / "workflow"), "COLUMNS": "120"}
        return subprocess.run(
            [sys.executable, "-m", "balign", *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, **own, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory):
    """A two-layer BERT with a hand-written vocabulary and seeded random weights."""
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("encoder")
    vocabulary = [*SPECIAL, *LETTERS, *["##" + letter for letter in LETTERS], *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    tokenizer = transformers.BertTokenizerFast(str(folder / "vocab.txt"), do_lower_case=True)
    tokenizer.save_pretrained(str(folder))
    torch.manual_seed(1)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
        initializer_range=0.3,  # far enough from 0 that names differ
    )
    transformers.BertModel(config, add_pooling_layer=False).save_pretrained(str(folder))
    return folder


def obo():
    """Return an ontology: two branches, a treatment for each ill."""
    terms = [("T:0", "ill", ""), ("T:1", "drug", "")]
    for number, (ill, drug) in enumerate(zip(ILLS, DRUGS, strict=True)):
        terms += [
            (f"T:1{number}", ill, "is_a: T:0"),
            (f"T:2{number}", drug, f"is_a: T:1\nrelationship: treats T:1{number}"),
        ]
    blocks = [
        f'[Term]\nid: {key}\nname: {name}\nsynonym: "{name} so called" EXACT []\n{more}\n'
        for key, name, more in terms
    ]
    text = "\n".join(blocks)
    return f"format-version: 1.4\n\n{text}\n[Typedef]\nid: treats\nname: treats\n"


def pubmed(first):
    """Return a PubMed file of 64 citations."""
    citations = []
    for number in range(64):
        ill, drug = ILLS[number % 8], DRUGS[number // 8]
        citations.append(f"""
<PubmedArticle><MedlineCitation Status="MEDLINE"><PMID Version="1">{first + number}</PMID>
<Article PubModel="Print"><Journal><JournalIssue><PubDate><Year>2001</Year></PubDate></JournalIssue>
<Title>The Journal</Title></Journal><ArticleTitle>On {drug} in {ill}.</ArticleTitle><Abstract>
<AbstractText>We gave {drug} to {number + first} patients with {ill}. Half of them had {ill} again.
</AbstractText></Abstract><Language>eng</Language></Article></MedlineCitation></PubmedArticle>""")
    text = f'<?xml version="1.0"?><PubmedArticleSet>{"".join(citations)}</PubmedArticleSet>'
    return gzip.compress(text.encode(), mtime=0)


class Project:
    """A copy of the project with a small ontology, corpus and encoder of its own."""

    def __init__(self, folder, encoder):
        self.folder = folder
        for name in ("Snakefile", "rules", "workflow", "config", "profiles", "slurm", "resources"):
            self.copy(name)
        self.copy("envs")
        (folder / "my.obo").write_text(obo())
        entry = self.run(
            "python", "-m", "balign", "sources", "entry", "my.obo", "--name", "mine",
            "--format", "obo", "--version", "1", "--licence", "CC0",
            "--url", "https://example.org/my.obo",
        )  # fmt: skip
        (folder / "registry.yaml").write_text(f"sources:\n{entry}")
        (folder / "pubmed").mkdir()
        for number in (1, 2):
            path = folder / f"pubmed/pubmed26n000{number}.xml.gz"
            path.write_bytes(pubmed(first=1000 * number))
        shutil.copytree(encoder, folder / "encoder")
        # Each process draws its own dropout; without any their number changes nothing.
        config = json.loads((folder / "encoder/config.json").read_text())
        config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        (folder / "encoder/config.json").write_text(json.dumps(config))

    def copy(self, name):
        source, ignored = ROOT / name, shutil.ignore_patterns("__pycache__")
        if source.is_dir():
            shutil.copytree(source, self.folder / name, ignore=ignored)
        else:
            shutil.copy(source, self.folder / name)

    def configure(self, launch=None, environments=None, tasks=(), **models):
        """Write config/config.yaml with these models, for commands without --configfile."""
        usual = {"encoder": "encoder", "batch_sentences": 8, "precision": "fp32"}
        found = [{"name": name, **usual, **model} for name, model in models.items()]
        settings = {
            "paths": {"data": "data", "results": "results/small"},
            "sources": {"registry": "registry.yaml"},
            "kg": {"sources": ["mine"], "held_out": {"count": 4}},
            "corpus": {"sources": [], "folder": "pubmed"},
            "pretrain": {
                "models": found,
                "checkpoint_every": 100_000,  # the only checkpoints are those of a signal
                "launch": launch or {},
            },
            "environments": environments or {},
            "evaluate": {"tasks": list(tasks)},
        }
        (self.folder / "config/config.yaml").write_text(yaml.safe_dump(settings))

    def start(self, *command, log, **environment):
        """Start a command in the copy, for twenty minutes at most; its output goes to a file."""
        own = {"PYTHONPATH": str(self.folder / "workflow"), "OMP_NUM_THREADS": "1"}
        path = environment.pop("PATH", os.environ["PATH"])
        own["PATH"] = f"{Path(sys.executable).parent}:{path}"
        with (self.folder / log).open("w") as stream:
            return subprocess.Popen(
                ["timeout", "--kill-after=10", "1200", *map(str, command)],
                cwd=self.folder,
                env={**os.environ, **environment, **own},
                stdout=stream,
                stderr=subprocess.STDOUT,
            )

    def run(self, *command, **environment):
        """Run a command to its end, hold it to success and return what it wrote."""
        done = self.start(*command, log="last.log", **environment).wait()
        assert done == 0, self.text("last.log")
        return self.text("last.log")

    def text(self, path):
        """Return what is in a file, nothing as long as it is not there."""
        file = self.folder / path
        return file.read_text() if file.exists() else ""


@pytest.fixture(scope="module")
def project(encoder_folder, tmp_path_factory):
    return Project(tmp_path_factory.mktemp("project"), encoder_folder)


MODELS = {
    "plain": {"objectives": [{"type": "mlm"}]},
    "aligned": {"objectives": [{"type": "mlm"}, {"type": "alignment"}]},
}


class Run:
    """A folder with the small project; a test may edit it and run commands in it."""

    def __init__(self, folder):
        self.folder = folder
        self.results = folder / "results" / "small"

    def copied(self, folder):
        """Copy the folder, time stamps kept."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Run(folder)

    def replace(self, name, old, new):
        """Replace text that must be in a file."""
        path = self.folder / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    def start(self, module, *arguments, **environment):
        """Start a module of Python's as a command, its errors among its output."""
        own = {"PYTHONPATH": str(self.folder / "workflow"), "COLUMNS": "200"}
        own |= {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
        own["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            cwd=self.folder,
            env={**os.environ, **own, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def ends(self, module, *arguments, **environment):
        """Run a command to its end; return its exit status and what it printed."""
        process = self.start(module, *arguments, **environment)
        output, _ = process.communicate()
        return process.returncode, output

    def snakemake(self, *arguments, status=0, **environment):
        """Run Snakemake, hold it to an exit status and return what it printed."""
        ended, output = self.ends("snakemake", "--cores", "2", *arguments, **environment)
        assert ended == status, output
        return output

    def balign(self, *arguments, status=0, **environment):
        """Run the command line, hold it to an exit status and return what it printed."""
        ended, output = self.ends("balign", *arguments, **environment)
        assert ended == status, output
        assert "Traceback" not in output
        return output

    def planned(self, *arguments):
        """Return the messages of the jobs that a dry run shows."""
        shown = self.snakemake("--dry-run", *arguments)
        return set(re.findall(r"^ *Job \d+: (.+)$", shown, flags=re.MULTILINE))


@pytest.fixture(scope="session")
def fresh_run(encoder_folder, tmp_path_factory):
    """The small project under git, with two models and two tasks, before any run."""
    folder = tmp_path_factory.mktemp("fresh")
    project = Project(folder, encoder_folder)
    tasks = [
        {"name": name, "family": "linking_held_out", "seed": seed}
        for seed, name in enumerate(("names", "others"))
    ]
    project.configure(tasks=tasks, **{name: {**of, "steps": 6} for name, of in MODELS.items()})
    config = folder / "config" / "config.yaml"
    settings = yaml.safe_load(config.read_text())
    settings["pretrain"] |= {"checkpoint_every": 2, "data": {"validation_sentences": 8}}
    settings["evaluate"]["bootstrap_samples"] = 100
    settings["report"] = {"examples": 2}
    config.write_text(yaml.safe_dump(settings))
    (folder / ".gitignore").write_text("data/\nresults/\n.snakemake/\n__pycache__/\n")
    for command in ("init", "add --all", "-c user.name=t -c user.email=t@t commit -m first"):
        subprocess.run(["git", *command.split()], cwd=folder, check=True, capture_output=True)
    return Run(folder)


@pytest.fixture(scope="session")
def umls_key():
    """A key that no file may hold; the whole run has it in its environment."""
    return "5ecre7-k3y/with+odd=signs&0123"


@pytest.fixture(scope="session")
def finished_run(fresh_run, umls_key, tmp_path_factory):
    """The small project after a whole run. Tests that change anything take :func:`small_run`."""
    run = fresh_run.copied(tmp_path_factory.mktemp("finished") / "run")
    run.snakemake(UMLS_API_KEY=umls_key)
    return run


@pytest.fixture
def small_run(finished_run, tmp_path):
    """A copy of the finished run that a test may change."""
    return finished_run.copied(tmp_path / "run")
