"""Stage linking: find the concepts' mentions in the sentences.

Reads: <results>/kg/kg.duckdb, <results>/corpus/.
Writes: <results>/linking/index/, <results>/linking/mentions/, <results>/linking/counts.json.
"""

MENTIONS = each_file("linking/mentions/{file}.parquet")
LINKING_COUNTS = f"{RESULTS}/linking/counts.json"
# Embedding fills several cores; the other linkers work on one, and files are linked side by side.
LINKING_THREADS = 8 if CONFIG.linking.backend == "dense" else 1


rule linking:
    """Link the corpus to the graph."""
    input:
        MENTIONS,
        LINKING_COUNTS,


rule linking_index:
    """Build the index of the configured linker from the graph's names."""
    input:
        **linking_files(),
        database=KG,
    output:
        directory(f"{RESULTS}/linking/index"),
    log:
        f"{RESULTS}/logs/linking_index.log",
    benchmark:
        f"{RESULTS}/benchmarks/linking_index.tsv"
    conda:
        f"../envs/linking{VARIANT}.yaml"
    threads: LINKING_THREADS
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        stamp=linking_stamp("linking_index"),
        config=RESOLVED,
        model=linking_model,
    message:
        "linking: index the names"
    shell:
        "python -m balign linking index --config {params.config:q} --database {input.database:q}"
        " {params.model} --output {output:q} 2> {log:q}"


rule linking_link:
    """Link one file's sentences."""
    input:
        **linking_encoder(),
        index=f"{RESULTS}/linking/index",
        abstracts=f"{RESULTS}/corpus/abstracts/{{file}}.parquet",
        sentences=f"{RESULTS}/corpus/sentences/{{file}}.parquet",
    output:
        mentions=f"{RESULTS}/linking/mentions/{{file}}.parquet",
        counts=f"{RESULTS}/linking/mentions/{{file}}.counts.json",
    log:
        f"{RESULTS}/logs/linking_link/{{file}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/linking_link/{{file}}.tsv"
    conda:
        f"../envs/linking{VARIANT}.yaml"
    threads: LINKING_THREADS
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        stamp=linking_stamp("linking_link"),
        config=RESOLVED,
        model=linking_model,
    message:
        "linking: link {wildcards.file}"
    shell:
        "python -m balign linking link --config {params.config:q} --index {input.index:q}"
        " --abstracts {input.abstracts:q} --sentences {input.sentences:q} {params.model}"
        " --output {output.mentions:q} --counts {output.counts:q} 2> {log:q}"


rule linking_count:
    """Count the mentions of all files together."""
    input:
        database=KG,
        abstracts=ABSTRACTS,
        mentions=MENTIONS,
        counts=each_file("linking/mentions/{file}.counts.json"),
    output:
        report(
            LINKING_COUNTS,
            caption="../resources/captions/linking.rst",
            category="Counts",
        ),
    log:
        f"{RESULTS}/logs/linking_count.log",
    benchmark:
        f"{RESULTS}/benchmarks/linking_count.tsv"
    conda:
        f"../envs/linking{VARIANT}.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        stamp=stamp("linking_count"),
        abstracts=lambda wildcards, input: options("--abstracts", input.abstracts),
        mentions=lambda wildcards, input: options("--mentions", input.mentions),
        counts=lambda wildcards, input: options("--counts", input.counts),
    message:
        "linking: count the mentions"
    shell:
        "python -m balign linking count --database {input.database:q} {params.abstracts}"
        " {params.mentions} {params.counts} --output {output:q} 2> {log:q}"
