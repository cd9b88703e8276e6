"""Stage sources: fetch what the registry names, held to its sha256.

Reads: resources/sources.yaml, the network, $BALIGN_MIRROR.
Writes: <data>/sources/<name>/<version>/ with MANIFEST.json, written last.
"""

SOURCES = sorted(
    {
        *CONFIG.kg.sources,
        *CONFIG.corpus.sources,
        *(model.encoder for model in CONFIG.pretrain.models if model.encoder in REGISTERED),
        *(task.source for task in CONFIG.evaluate.tasks if getattr(task, "source", None)),
    }
)


rule sources:
    """Download every source that the configuration uses."""
    input:
        [source(name) for name in SOURCES],


rule sources_fetch:
    """Fetch one source of the registry."""
    output:
        manifest=f"{DATA}/sources/{{name}}/{{version}}/MANIFEST.json",
    log:
        f"{RESULTS}/logs/sources_fetch/{{name}}-{{version}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/sources_fetch/{{name}}-{{version}}.tsv"
    conda:
        "../envs/sources.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        entry=lambda wildcards: entry_digest(REGISTRY.entry(wildcards.name)),
        config=RESOLVED,
    message:
        "sources: fetch {wildcards.name} {wildcards.version}"
    shell:
        "python -m balign sources fetch {wildcards.name:q} --config {params.config:q} 2> {log:q}"


rule sources_encoder:
    """Fetch an encoder from the Hugging Face hub (`encoder: hub:...`)."""
    output:
        manifest=f"{DATA}/encoders/{{key}}/MANIFEST.json",
    log:
        f"{RESULTS}/logs/sources_encoder/{{key}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/sources_encoder/{{key}}.tsv"
    conda:
        "../envs/sources.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        encoder=lambda wildcards: ENCODERS[wildcards.key],
        folder=lambda wildcards: f"{DATA}/encoders/{wildcards.key}",
    message:
        "sources: fetch encoder {params.encoder}"
    shell:
        "python -m balign sources encoder {params.encoder:q} --folder {params.folder:q}"
        " 2> {log:q}"
