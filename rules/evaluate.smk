"""Stage evaluate: try the untouched encoder and every trained model on every task.

Reads: <results>/models/, <results>/kg/kg.duckdb, <results>/corpus/abstracts/, task data.
Writes: <results>/evaluation/<task>/<model>/seed<k>.json, <results>/evaluation/leaderboard.*.
"""

TASKS = {task.name: task for task in CONFIG.evaluate.tasks}
# The encoder that the models start from, untouched, is the model `base`.
BASE = CONFIG.pretrain.models[0].encoder
LEADERBOARD = f"{RESULTS}/evaluation/leaderboard.json"
EVALUATIONS = [
    f"{RESULTS}/evaluation/{task.name}/{model}/seed{seed}.json"
    for task in TASKS.values()
    for model in ["base", *MODELS]
    for seed in seeds_of(task)
]


rule evaluate:
    """Evaluate every model on every task."""
    input:
        LEADERBOARD,


rule evaluate_task:
    """Evaluate one model on one task with one seed."""
    input:
        model=lambda wildcards: (
            encoder_input(BASE) if wildcards.model == "base" else model_folder(wildcards.model)
        ),
        files=task_files,
    output:
        f"{RESULTS}/evaluation/{{task}}/{{model}}/seed{{seed}}.json",
    log:
        f"{RESULTS}/logs/evaluate_task/{{task}}-{{model}}-{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluate_task/{{task}}-{{model}}-{{seed}}.tsv"
    conda:
        "../envs/evaluate.yaml"
    threads: 1
    resources:
        mem_mb=6000,
        runtime=240,
    params:
        stamp=lambda wildcards: {
            **stamp("evaluate_task")(wildcards),
            "family": code_digest(FAMILIES[TASKS[wildcards.task].family].module),
        },
        config=RESOLVED,
        model=lambda wildcards, input: encoder_path(input.model),
        files=task_options,
    message:
        "evaluate: {wildcards.model} on {wildcards.task}, seed {wildcards.seed}"
    shell:
        "python -m balign evaluate task {wildcards.task:q} --config {params.config:q}"
        " --model-name {wildcards.model:q} --model {params.model:q} --seed {wildcards.seed}"
        " {params.files} --output {output:q} 2> {log:q}"


rule evaluate_table:
    """Make the leaderboard of all results."""
    input:
        EVALUATIONS,
    output:
        csv=f"{RESULTS}/evaluation/leaderboard.csv",
        json=LEADERBOARD,
    log:
        f"{RESULTS}/logs/evaluate_table.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluate_table.tsv"
    conda:
        "../envs/evaluate.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        stamp=stamp("evaluate_table"),
        config=RESOLVED,
        results=lambda wildcards, input: options("--result", input),
    message:
        "evaluate: leaderboard"
    shell:
        "python -m balign evaluate table --config {params.config:q} {params.results}"
        " --csv {output.csv:q} --json {output.json:q} 2> {log:q}"
