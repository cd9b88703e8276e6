"""Stage linking: find the concepts' mentions in the sentences.

Reads: <results>/kg/kg.duckdb, <results>/corpus/.
Writes: <results>/linking/index/, <results>/linking/mentions/.
"""

MENTIONS = expand(f"{RESULTS}/linking/mentions/{{file}}.parquet", file=FILES)
LINKING_COUNTS = expand(f"{RESULTS}/linking/mentions/{{file}}.counts.json", file=FILES)


rule linking:
    """Link the corpus to the graph."""
    input:
        MENTIONS,


rule linking_index:
    """Build the dictionary of the graph's names."""
    input:
        database=KG,
        stop_words=CONFIG.linking.stop_words,
    output:
        directory(f"{RESULTS}/linking/index"),
    log:
        f"{RESULTS}/logs/linking_index.log",
    benchmark:
        f"{RESULTS}/benchmarks/linking_index.tsv"
    conda:
        "../envs/linking.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        stamp=stamp("linking_index"),
        config=RESOLVED,
    message:
        "linking: index the names"
    shell:
        "python -m balign linking index --config {params.config:q} --database {input.database:q}"
        " --output {output:q} 2> {log:q}"


rule linking_link:
    """Link one file's sentences."""
    input:
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
        "../envs/linking.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        stamp=stamp("linking_link"),
    message:
        "linking: link {wildcards.file}"
    shell:
        "python -m balign linking link --index {input.index:q} --abstracts {input.abstracts:q}"
        " --sentences {input.sentences:q} --output {output.mentions:q}"
        " --counts {output.counts:q} 2> {log:q}"
