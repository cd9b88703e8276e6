"""`snakemake pretrain --profile slurm`, as the manual has it, on a cluster of two virtual nodes."""

import json
import re
import subprocess
import time

import pytest

pytestmark = pytest.mark.slurm

COMMAND = ("snakemake", "pretrain", "--profile", "slurm")
MLM = {"objectives": [{"type": "mlm"}]}
LONG = {**MLM, "steps": 600}
PROFILE = "slurm/config.v9+.yaml"


def site(project, *edits):
    """Edit lines of the profile, as its comments ask a site to."""
    text = project.text(PROFILE)
    for old, new in edits:
        assert len(re.findall(old, text)) == 1, old
        text = re.sub(old, new, text)
    (project.folder / PROFILE).write_text(text)


def queue():
    """Return what Slurm says of each job that is not at its end, by the executor's comment."""
    fields = [
        "comment", "jobid", "statecompact", "tres-per-job", "tres-per-node", "numcpus", "minmemory",
        "numnodes", "partition", "timelimit", "requeue", "restartcnt",
    ]  # fmt: skip
    form = ",".join(f"{field}:.80" for field in fields)
    shown = subprocess.run(["squeue", "--noheader", f"--Format={form}"], capture_output=True,
                           text=True, check=False).stdout  # fmt: skip
    starts = range(0, 80 * len(fields), 80)
    rows = [[line[at : at + 80].strip() for at in starts] for line in shown.splitlines()]
    jobs = [dict(zip(fields, row, strict=True)) for row in rows]
    return {job["comment"]: job for job in jobs}


def watch(process, seen, *actions):
    """Note each job while the process runs; do each action once, as soon as it says it is done."""
    waiting = list(actions)
    while process.poll() is None:
        for comment, job in queue().items():
            seen.setdefault(comment, job)
        waiting = [action for action in waiting if not action()]
        time.sleep(0.3)
    assert not waiting
    return process.returncode


@pytest.fixture(scope="module")
def first(cluster, project):
    """The pipeline from scratch; of two trainings, one is cancelled and one is preempted."""
    project.configure(mlm=LONG, second=LONG)
    site(
        project,
        ('# slurm_partition: "cpu" ', 'slurm_partition: "main" '),
        ("status-checks: 20", "status-checks: 1"),
        ("# set-threads: ", "set-threads: "),
        ("#   pretrain_train: 16", "  pretrain_train: 1"),
    )

    def end(model, *command):
        def act():
            job = queue().get(f"rule_pretrain_train_wildcards_{model}")
            log = project.text(f"results/small/logs/pretrain_train/{model}.log")
            ready = job is not None and job["statecompact"] == "R" and "step 10 of" in log
            return ready and not subprocess.run([*command, job["jobid"]], check=True).returncode

        return act

    def release():
        """A job that is back in the queue waits two minutes by itself."""
        job = queue().get("rule_pretrain_train_wildcards_second")
        back = job is not None and job["restartcnt"] == "1" and job["statecompact"] == "PD"
        now = ["scontrol", "update", f"JobId={back and job['jobid']}", "StartTime=now"]
        return back and not subprocess.run(now, check=True).returncode

    seen = {}
    process = project.start(*COMMAND, log="first.log")
    preempt = end("second", "scontrol", "requeue")
    code = watch(process, seen, end("mlm", "scancel"), preempt, release)
    assert code == 0, project.text("first.log")
    return seen


def test_every_rule_went_through_the_queue(first, project):
    told = project.text("first.log")
    rules = {"kg_build", "corpus_merge", "linking_index", "graph_build", "pretrain_tokenize"}
    for rule in rules:
        assert any(comment.startswith(f"rule_{rule}") for comment in first), (rule, first)
    # Small jobs are submitted together; downloads stay where Snakemake runs.
    assert told.count("group_parse") == 1 and told.count("group_text") == 1
    assert told.count("Finished jobid") > told.count("has been submitted") > len(rules)
    assert not any("sources_fetch" in comment for comment in first)
    assert {job["partition"] for job in first.values()} == {"main"}


def test_resources_reach_slurm_and_gpus_go_to_training_alone(first):
    training = first["rule_pretrain_train_wildcards_mlm"]
    # Slurm 22 says gres:gpu:1, later ones gres/gpu:1.
    assert re.fullmatch("gres[:/]gpu:1", training["tres-per-job"]) and training["numcpus"] == "1"
    assert (training["minmemory"], training["timelimit"]) == ("16000M", "2-00:00:00")
    others = [job for comment, job in first.items() if "pretrain_train" not in comment]
    assert not any("gpu" in job["tres-per-job"] + job["tres-per-node"] for job in others)
    assert {job["requeue"] for job in first.values()} == {"1"}


def test_a_cancelled_and_a_preempted_training_go_on_from_their_checkpoints(first, project):
    told = project.text("first.log")
    assert "SLURM status is: 'CANCELLED'" in told and "Trying to restart job" in told
    for model, submitted in (("mlm", 2), ("second", 1)):
        logs = rf"has been submitted .*rule_pretrain_train/{model}/\d+\.log"
        assert len(re.findall(logs, told)) == submitted
    for model in ("mlm", "second"):
        log = project.text(f"results/small/logs/pretrain_train/{model}.log")
        (step,) = re.findall(rf"{model}: going on from step (\d+)", log)
        assert 10 <= int(step) < LONG["steps"]
        run = json.loads(project.text(f"results/small/models/{model}/run.json"))
        assert run["steps"] == LONG["steps"]
    assert not list((project.folder / "results/small/checkpoints").iterdir())


def test_the_same_command_again_has_nothing_to_do(first, project):
    assert "Nothing to be done" in project.run(*COMMAND)


def losses(project, model):
    lines = project.text(f"results/small/models/{model}/metrics.jsonl").splitlines()
    return [(line["step"], line["loss"]) for line in map(json.loads, lines)]


def test_two_nodes_train_with_the_losses_of_one_process(first, project):
    short = {**MLM, "steps": 40}
    models = {"mlm": LONG, "second": LONG, "alone": short}
    project.configure(**models)
    project.run("snakemake", "pretrain", "--cores", "1")
    project.configure(launch={"nodes": 2}, **models, together=short)
    site(
        project,
        (r"    gpu: 1  .*GPUs of a job.*", "    gpu: 0"),
        (r"    slurm_extra: \"'--signal=TERM@120'\"\n", ""),
        (
            r"# slurm_extra: \"'--gpus-per-node=4 .*'\"",
            "slurm_extra: \"'--gpus-per-node=1 --ntasks-per-node=1 --signal=TERM@120'\"",
        ),
    )
    # How a run is launched makes no model stale.
    assert re.search(r"^pretrain_train +1$", project.run(*COMMAND, "--dry-run"), re.MULTILINE)
    seen = {}
    assert watch(project.start(*COMMAND, log="nodes.log"), seen) == 0, project.text("nodes.log")
    job = seen["rule_pretrain_train_wildcards_together"]
    assert job["numnodes"] == "2" and re.fullmatch("gres[:/]gpu:1", job["tres-per-node"])
    run = json.loads(project.text("results/small/models/together/run.json"))
    assert run["processes"] == 2
    one, two = losses(project, "alone"), losses(project, "together")
    assert len(one) >= 5
    for (step, alone), (other, together) in zip(one, two, strict=True):
        assert step == other and together == pytest.approx(alone, rel=2e-3)
