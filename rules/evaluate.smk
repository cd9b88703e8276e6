"""Stage evaluate: try the untouched encoder and every trained model on every task.

Reads: <results>/models/, <results>/kg/kg.duckdb, <results>/corpus/, task data.
Writes: <results>/evaluation/<task>/<model>/seed<k>.*, <results>/evaluation/leaderboard.*.
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


wildcard_constraints:
    seed=r"\d+",


rule evaluate:
    """Evaluate every model on every task."""
    input:
        LEADERBOARD,


rule evaluate_predict:
    """Run one model on one task with one seed and keep its predictions."""
    input:
        model=lambda wildcards: (
            encoder_input(BASE) if wildcards.model == "base" else model_folder(wildcards.model)
        ),
        files=task_files,
    output:
        predictions=f"{RESULTS}/evaluation/{{task}}/{{model}}/seed{{seed}}.parquet",
        facts=f"{RESULTS}/evaluation/{{task}}/{{model}}/seed{{seed}}.facts.json",
    log:
        f"{RESULTS}/logs/evaluate_predict/{{task}}-{{model}}-{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluate_predict/{{task}}-{{model}}-{{seed}}.tsv"
    group:
        "evaluate"
    conda:
        f"../envs/evaluate{VARIANT}.yaml"
    threads: 1
    resources:
        mem_mb=6000,
        runtime=240,
    params:
        stamp=lambda wildcards: {
            **stamp("evaluate_predict")(wildcards),
            "family": code_digest(FAMILIES[TASKS[wildcards.task].family].module),
        },
        config=RESOLVED,
        model=lambda wildcards, input: encoder_path(input.model),
        files=task_options,
    message:
        "evaluate: {wildcards.model} on {wildcards.task}, seed {wildcards.seed}"
    shell:
        "python -m balign evaluate predict {wildcards.task:q} --config {params.config:q}"
        " --model-name {wildcards.model:q} --model {params.model:q} --seed {wildcards.seed}"
        " {params.files} --output {output.predictions:q} 2> {log:q}"


rule evaluate_score:
    """Score one model's predictions on one task with one seed."""
    input:
        predictions=f"{RESULTS}/evaluation/{{task}}/{{model}}/seed{{seed}}.parquet",
        facts=f"{RESULTS}/evaluation/{{task}}/{{model}}/seed{{seed}}.facts.json",
        guard=lambda wildcards: (
            [f"{RESULTS}/corpus/guard/{wildcards.task}.json"] if wildcards.task in GUARDED else []
        ),
        selection=f"{RESULTS}/corpus/selection.parquet",
    output:
        f"{RESULTS}/evaluation/{{task}}/{{model}}/seed{{seed}}.json",
    log:
        f"{RESULTS}/logs/evaluate_score/{{task}}-{{model}}-{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluate_score/{{task}}-{{model}}-{{seed}}.tsv"
    group:
        "evaluate"
    conda:
        f"../envs/evaluate{VARIANT}.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        stamp=stamp("evaluate_score"),
        guard=lambda wildcards, input: options("--guard", input.guard),
    message:
        "evaluate: score {wildcards.model} on {wildcards.task}, seed {wildcards.seed}"
    shell:
        "python -m balign evaluate score --predictions {input.predictions:q} {params.guard}"
        " --selection {input.selection:q} --output {output:q} 2> {log:q}"


rule evaluate_table:
    """Make the leaderboard of all results."""
    input:
        results=EVALUATIONS,
        published="resources/published.yaml",
    output:
        csv=report(
            f"{RESULTS}/evaluation/leaderboard.csv",
            caption="../resources/captions/leaderboard.rst",
            category="Evaluation",
        ),
        json=LEADERBOARD,
    log:
        f"{RESULTS}/logs/evaluate_table.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluate_table.tsv"
    conda:
        f"../envs/evaluate{VARIANT}.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        stamp=stamp("evaluate_table"),
        config=RESOLVED,
        results=lambda wildcards, input: options("--result", input.results),
    message:
        "evaluate: leaderboard"
    shell:
        "python -m balign evaluate table --config {params.config:q} {params.results}"
        " --published {input.published:q} --csv {output.csv:q} --json {output.json:q} 2> {log:q}"
