"""Stage pretrain: align text encoders with the graph.

Reads: <results>/corpus/, <results>/linking/mentions/, <results>/graph/, pretrained encoders.
Writes: <results>/pretrain/tokens/<encoder>/, <results>/models/<model>/; checkpoints go to
<results>/checkpoints/, which is no rule's output because Snakemake deletes those of a failed job.
"""

MODELS = {model.name: model for model in CONFIG.pretrain.models}


ENCODERS = {encoder_key(model.encoder): model.encoder for model in MODELS.values()}


rule pretrain:
    """Train all models of the configuration."""
    input:
        [model_folder(model) for model in MODELS],


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
        "../envs/pretrain.yaml"
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


rule pretrain_train:
    """Train one model; an interrupted run goes on from its last checkpoint."""
    input:
        encoder=lambda wildcards: encoder_input(MODELS[wildcards.model].encoder),
        tokens=lambda wildcards: (
            f"{RESULTS}/pretrain/tokens/{encoder_key(MODELS[wildcards.model].encoder)}"
        ),
        graph=GRAPH,
    output:
        directory(f"{RESULTS}/models/{{model}}"),
    log:
        f"{RESULTS}/logs/pretrain_train/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/pretrain_train/{{model}}.tsv"
    conda:
        "../envs/pretrain.yaml"
    threads: 8
    resources:
        mem_mb=16000,
        runtime=2880,
    params:
        stamp=stamp("pretrain_train"),
        config=RESOLVED,
        encoder=lambda wildcards, input: encoder_path(input.encoder),
        checkpoints=f"{RESULTS}/checkpoints",
    message:
        "pretrain: train {wildcards.model}"
    shell:
        "python -m balign pretrain train {wildcards.model:q} --config {params.config:q}"
        " --encoder {params.encoder:q} --tokens {input.tokens:q} --graph {input.graph:q}"
        " --checkpoints {params.checkpoints:q} --threads {threads} --output {output:q} 2> {log:q}"
