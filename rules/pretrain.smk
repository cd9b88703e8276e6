"""Stage pretrain: align text encoders with the graph.

Reads: <results>/corpus/, <results>/linking/mentions/, <results>/graph/, pretrained encoders.
Writes: <results>/pretrain/tokens/<encoder>/, <results>/pretrain/kge/<name>/,
<results>/models/<model>/; checkpoints go to <results>/checkpoints/, which is no rule's output because Snakemake deletes those of a failed job.
"""

MODELS = {model.name: model for model in CONFIG.pretrain.models}


ENCODERS = {encoder_key(model.encoder): model.encoder for model in MODELS.values()}


rule pretrain:
    """Train all models and graph embeddings of the configuration."""
    input:
        [model_folder(model) for model in MODELS],
        [kge_folder(tables.name) for tables in CONFIG.pretrain.kge],


rule pretrain_tokenize:
    """Tokenise sentences, mentions and names once for an encoder."""
    input:
        encoder=lambda wildcards: encoder_input(ENCODERS[wildcards.encoder]),
        abstracts=ABSTRACTS,
        sentences=SENTENCES,
        mentions=MENTIONS,
        graph=GRAPH,
    output:
        directory(f"{RESULTS}/pretrain/tokens/{{encoder}}"),
    log:
        f"{RESULTS}/logs/pretrain_tokenize/{{encoder}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/pretrain_tokenize/{{encoder}}.tsv"
    conda:
        f"../envs/pretrain{VARIANT}.yaml"
    threads: 2
    resources:
        mem_mb=8000,
        runtime=120,
    params:
        stamp=stamp("pretrain_tokenize"),
        config=RESOLVED,
        encoder=lambda wildcards, input: encoder_path(input.encoder),
        corpus=lambda wildcards, input: Path(input.graph).parent / "corpus",
        mentions=lambda wildcards, input: options("--mentions", input.mentions),
    message:
        "pretrain: tokenise for {wildcards.encoder}"
    shell:
        "python -m balign pretrain tokenize --config {params.config:q} --encoder {params.encoder:q}"
        " --corpus {params.corpus:q} {params.mentions} --graph {input.graph:q}"
        " --output {output:q} 2> {log:q}"


rule pretrain_kge:
    """Train vectors of concepts and relations on the graph's edges."""
    input:
        graph=GRAPH,
    output:
        directory(f"{RESULTS}/pretrain/kge/{{kge}}"),
    log:
        f"{RESULTS}/logs/pretrain_kge/{{kge}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/pretrain_kge/{{kge}}.tsv"
    conda:
        f"../envs/pretrain{VARIANT}.yaml"
    threads: 8
    resources:
        mem_mb=8000,
        runtime=720,
    params:
        stamp=stamp("pretrain_kge"),
        config=RESOLVED,
        checkpoints=f"{RESULTS}/checkpoints",
    message:
        "pretrain: graph embeddings {wildcards.kge}"
    shell:
        "python -m balign pretrain kge {wildcards.kge:q} --config {params.config:q}"
        " --graph {input.graph:q} --checkpoints {params.checkpoints:q} --threads {threads}"
        " --output {output:q} 2> {log:q}"


rule pretrain_train:
    """Train one model; an interrupted run goes on from its last checkpoint."""
    input:
        encoder=lambda wildcards: encoder_input(MODELS[wildcards.model].encoder),
        tokens=lambda wildcards: (
            f"{RESULTS}/pretrain/tokens/{encoder_key(MODELS[wildcards.model].encoder)}"
        ),
        graph=GRAPH,
        kge=lambda wildcards: model_kge(wildcards.model),
    output:
        directory(f"{RESULTS}/models/{{model}}"),
    log:
        f"{RESULTS}/logs/pretrain_train/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/pretrain_train/{{model}}.tsv"
    conda:
        f"../envs/pretrain{VARIANT}.yaml"
    threads: 8
    resources:
        **launch_resources(),
        mem_mb=16000,
        runtime=2880,
    params:
        stamp=pretrain_stamp,
        config=RESOLVED,
        encoder=lambda wildcards, input: encoder_path(input.encoder),
        checkpoints=f"{RESULTS}/checkpoints",
        tracking=f"{RESULTS}/logs/tensorboard",
        kge=lambda wildcards, input: options("--kge", input.kge),
        # Values that hang on threads do not count when Snakemake compares parameters.
        launcher=lambda wildcards, threads: launcher(threads),
        threads=lambda wildcards, threads: max(
            1, threads // CONFIG.pretrain.launch.processes_per_node
        ),
    message:
        "pretrain: train {wildcards.model}"
    shell:
        # By exec, a signal of Slurm's that ends the shell too cannot end the step before its state
        # is saved.
        "exec {params.launcher} python -m balign pretrain train {wildcards.model:q}"
        " --config {params.config:q}"
        " --encoder {params.encoder:q} --tokens {input.tokens:q} --graph {input.graph:q}"
        " --checkpoints {params.checkpoints:q} --threads {params.threads} --tracking {params.tracking:q}"
        " {params.kge}"
        " --output {output:q} 2> {log:q}"
