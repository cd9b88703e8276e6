"""What every stage's rules share: the checked configuration, paths and stamps.

Reads: the configuration files, resources/sources.yaml.
Writes: <results>/config.yaml, the resolved configuration that every command reads.
"""

import os
import re
import shlex
import sys
from functools import cache
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod

ROOT = Path(workflow.basedir)
DEFAULT = Path("config/config.yaml")
# Rules call `python -m balign`: by this interpreter, or by that of the rule's conda environment,
# whose activation comes later and so goes before it in PATH. The package comes from the repository;
# Snakemake clears PYTHONPATH for an environment, so that it is set in each shell.
os.environ.update(PATH=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()]))
shell.prefix(f"export PYTHONPATH={shlex.quote(str(ROOT / 'workflow'))}; ")
sys.path.insert(0, str(ROOT / "workflow"))

from balign.config import load_config
from balign.corpus.listing import check_one_year, needs_listing, wanted_files
from balign.digest import PARTS, code_digest
from balign.errors import BalignError, ConfigError, disk_error
from balign.evaluate.families import FAMILIES, seeds_of
from balign.files import atomic_path
from balign.linking.backends import BACKENDS, backends_used
from balign.provenance import command_line, record_run, run_facts
from balign.sources.hub import HUB, encoder_key, hub_manifest_path
from balign.sources.registry import entry_digest, load_registry, manifest_path
from balign.steps import stamp as step_stamp

try:
    # Snakemake lists the files of the command line before the default file that they lie over.
    files = sorted(map(Path, workflow.configfiles), key=lambda file: file != DEFAULT)
    CONFIG = load_config(files, config)
    REGISTRY = load_registry(Path(CONFIG.sources.registry))
except BalignError as error:
    raise WorkflowError(str(error)) from None

REGISTERED = {entry.name for entry in REGISTRY.sources}
DATA = CONFIG.paths.data
RESULTS = CONFIG.paths.results
RESOLVED = f"{RESULTS}/config.yaml"
# The environments with PyTorch are there in a second, smaller variant.
VARIANT = "-cpu" if CONFIG.environments.torch == "cpu" else ""


def write_resolved():
    """Write the resolved configuration beside the results, if it is not there already."""
    text = yaml.safe_dump(CONFIG.model_dump(mode="json"), sort_keys=False)
    path = Path(RESOLVED)
    try:
        if not path.is_file() or path.read_text() != text:
            with atomic_path(path) as temporary:
                temporary.write_text(text)
    except OSError as error:
        raise WorkflowError(str(disk_error(error) or error)) from None


write_resolved()


def record_start():
    """Note with what this run works, beside the results; dry runs and jobs do not come here."""
    in_conda = DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method
    facts = run_facts(ROOT, CONFIG.model_dump(mode="json"), command_line(), in_conda)
    record_run(Path(RESULTS) / "provenance", facts, PARTS)


def stamp(step, **fixed):
    """Make a rule's `params.stamp`: the settings it reads and the digest of its code."""

    def by_wildcards(wildcards):
        return step_stamp(step, CONFIG, **fixed, **dict(wildcards.items()))

    return by_wildcards


def source(name):
    """Return the manifest of a source in the registry."""
    try:
        return str(manifest_path(Path(DATA), REGISTRY.entry(name)))
    except BalignError as error:
        raise WorkflowError(str(error)) from None


def options(name, values):
    """Repeat a command-line option for each value, quoted for the shell."""
    return " ".join(f"{name} {shlex.quote(str(value))}" for value in values)


def rrf_files():
    """Return the files of the UMLS release, so that a new one makes the graph stale."""
    path = Path(CONFIG.kg.rrf.path) if CONFIG.kg.rrf.path else None
    # A release that is not there yet is reported by the command itself, not by a dry run.
    if path is None or not path.exists():
        return []
    return sorted(map(str, path.glob("M[RG]*.RRF*"))) if path.is_dir() else [str(path)]


def pubmed_files():
    """Return the path and, for a set of the registry, the manifest of each PubMed file by name.

    Where the configuration asks for `all` files of the publisher, they are known only after the
    checkpoint `corpus_list`; a dry run before it shows the rest of the work as <TBD>.
    """
    if not needs_listing(CONFIG.corpus.pubmed):
        return pubmed_files_of(None)
    made = checkpoints.corpus_list.get(year=f"{CONFIG.corpus.pubmed.year:02d}")
    return pubmed_files_of(Path(made.output[0]))


@cache
def pubmed_files_of(listing):
    """Return the same, by the publisher's listing if one is needed."""
    found = {}
    for name in CONFIG.corpus.sources:
        manifest = source(name)
        for file in REGISTRY.entry(name).files:
            found[file.name.removesuffix(".xml.gz")] = (Path(manifest).parent / file.name, manifest)
    for path in sorted(Path(CONFIG.corpus.folder).glob("*.xml.gz")) if CONFIG.corpus.folder else []:
        found[path.name.removesuffix(".xml.gz")] = (path, str(path))
    try:
        wanted = wanted_files(CONFIG.corpus.pubmed, listing) if CONFIG.corpus.pubmed else {}
        for name, folder in wanted.items():
            path = f"{DATA}/pubmed/{folder}/{name}.xml.gz"
            found[name] = (Path(path), path)
        if CONFIG.corpus.folder or CONFIG.corpus.pubmed:
            check_one_year(found)
        if twice := sorted(found.keys() & TEXTS.keys()):
            raise ConfigError(f"corpus.texts: {twice[0]} is the name of a PubMed file too")
    except BalignError as error:
        raise WorkflowError(str(error)) from None
    return found


def each_file(pattern):
    """Return an input function: a file of the results for each file of the corpus."""

    def by_wildcards(wildcards):
        return expand(f"{RESULTS}/{pattern}", file=sorted([*pubmed_files(), *TEXTS]))

    return by_wildcards


def text_source(wildcards):
    """Return what a corpus other than PubMed is read from: graph, manifest, file or folder."""
    text = TEXTS[wildcards.file]
    if text.format == "definitions":
        return KG
    return source(text.source) if text.source else text.path


def text_files(wildcards):
    """Return the same, and the files for a folder, so that a changed one makes it stale."""
    path = Path(text_source(wildcards))
    return sorted(map(str, filter(Path.is_file, path.rglob("*")))) if path.is_dir() else str(path)


def guard_files(wildcards):
    """Return what holds a task's test set: its source, or the citations that it draws from."""
    task = GUARDED[wildcards.task]
    return [source(task.source)] if getattr(task, "source", None) else ABSTRACTS(wildcards)


def guard_options(wildcards, input):
    """Return the same as options of the command, with the draw."""
    task = GUARDED[wildcards.task]
    if getattr(task, "source", None):
        return options("--manifest", input)
    draw = f"--seed {task.split_seed} --count {task.test_citations}"
    return f"{draw} {options('--abstracts', input)}"


def encoder_input(encoder):
    """Return what stands for an encoder: a manifest, or the configuration in a folder."""
    if encoder in REGISTERED:
        return source(encoder)
    if encoder.startswith(HUB):
        return str(hub_manifest_path(Path(DATA), encoder))
    return f"{encoder}/config.json"


def encoder_path(path):
    """Return what a command takes for an encoder: a manifest or a folder."""
    return str(Path(path).parent) if Path(path).name == "config.json" else path


def linking_stamp(step):
    """Make the stamp of a linking rule: with the settings and the code of the backends it uses."""
    # An index holds all candidates, whatever their scores.
    left_out = {"min_score"} if step == "linking_index" else set()

    def by_wildcards(wildcards):
        used = {
            name: {
                "settings": CONFIG.linking.of(name).model_dump(mode="json", exclude=left_out),
                "code": code_digest(BACKENDS[name].module),
            }
            for name in backends_used(CONFIG.linking)
        }
        return {**stamp(step)(wildcards), **used}

    return by_wildcards


def linking_encoder():
    """Return the text encoder of the configured linker, if it has one."""
    if "dense" not in backends_used(CONFIG.linking):
        return {}
    model = CONFIG.linking.dense.model
    if Path(RESULTS).absolute() in Path(model).absolute().parents:
        raise WorkflowError(
            f"linking.dense.model ({model}) would be trained on the mentions that it is to find:"
            " give this run another folder by paths.results, and the model of an earlier run"
        )
    return {"model": encoder_input(model)}


def linking_files():
    """Return what the index of the configured linker is made of besides the graph, by kind."""
    found = linking_encoder()
    if "dictionary" in backends_used(CONFIG.linking):
        found["stop_words"] = CONFIG.linking.dictionary.stop_words
    if CONFIG.linking.backend in ("pubtator", "bern2"):
        folder = Path(CONFIG.linking.of(CONFIG.linking.backend).folder)
        # A folder that is not there yet is reported by the command itself, not by a dry run.
        found["annotations"] = sorted(str(path) for path in folder.glob("[!.]*") if path.is_file())
    return found


def linking_model(wildcards, input):
    """Return the option that names the text encoder, if the configured linker has one."""
    return options("--model", [encoder_path(input.model)] if "model" in input.keys() else [])


def launcher(threads):
    """Return what starts the processes of a training run, before their command; one needs none.

    Rendezvous as in torchrun's manual: on one machine by itself, on several at the first of them,
    where Slurm runs the rule's shell.
    """
    nodes, processes = CONFIG.pretrain.launch.nodes, CONFIG.pretrain.launch.processes_per_node
    torchrun = f"python -m torch.distributed.run --no-python --nproc-per-node={processes}"
    if nodes == 1:
        return f"{torchrun} --standalone" if processes > 1 else ""
    # The step's shape is given anew: Snakemake's job step takes Slurm's own variables away.
    return (
        f"srun --nodes={nodes} --ntasks={nodes} --ntasks-per-node=1 --cpus-per-task={threads}"
        f" {torchrun} --nnodes={nodes} --rdzv-backend=c10d --rdzv-id=$SLURM_JOB_ID"
        " --rdzv-endpoint=$(hostname):$((20000 + SLURM_JOB_ID % 10000))"
    )


def launch_resources():
    """Return the resources by which the Slurm executor allocates several machines for a run."""
    nodes = CONFIG.pretrain.launch.nodes
    return {"mpi": "srun", "nodes": nodes, "tasks": nodes} if nodes > 1 else {}


def pretrain_stamp(wildcards):
    """Make the stamp of a training run: with the code of its objectives."""
    objectives = MODELS[wildcards.model].objectives
    code = {one.type: code_digest(one.code.partition(":")[0]) for one in objectives}
    return {**stamp("pretrain_train")(wildcards), "objectives": code}


def kge_folder(tables):
    """Return the folder of graph embeddings."""
    return f"{RESULTS}/pretrain/kge/{tables}"


def model_kge(model):
    """Return the folder of the graph embeddings that a run reads, if it does."""
    tables = MODELS[model].kge
    return [] if tables is None else [kge_folder(tables)]


def model_folder(model):
    """Return the folder of a trained model."""
    return f"{RESULTS}/models/{model}"


def task_data(task):
    """Return the manifest of a task's source, or the files in the folder that it names."""
    if task.source:
        return [source(task.source)]
    folder = Path(task.path)
    # A folder that is not there is a reason to skip the task.
    return sorted(str(path) for path in folder.rglob("*") if path.is_file())


def task_files(wildcards):
    """Return the files that a task needs, by kind."""
    task = TASKS[wildcards.task]
    known = {
        "database": lambda: [KG],
        "abstracts": lambda: ABSTRACTS(wildcards),
        "source": lambda: task_data(task),
        "graph": lambda: [GRAPH],
        "kge": lambda: [kge_folder(task.kge)] if task.kge else [],
    }
    return [file for kind in FAMILIES[task.family].inputs for file in known[kind]()]


def task_options(wildcards, input):
    """Return the same files as options of the command; a task itself names a folder."""
    task = TASKS[wildcards.task]
    given = source(task.source) if getattr(task, "source", None) else None
    known = {
        KG: "--database",
        f"{RESULTS}/corpus/abstracts/": "--abstracts",
        given: "--source",
        GRAPH: "--graph",
        kge_folder(""): "--kge",
    }
    found = []
    for file in input.files:
        option = next((known[start] for start in known if start and file.startswith(start)), None)
        found += [options(option, [file])] if option else []
    return " ".join(found)
