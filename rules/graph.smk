"""Stage graph: arrays for training.

Reads: <results>/kg/kg.duckdb, <results>/linking/mentions/.
Writes: <results>/graph/.
"""

GRAPH = f"{RESULTS}/graph"


rule graph:
    """Write the graph's memory-mapped arrays."""
    input:
        GRAPH,


rule graph_build:
    """Write adjacency, names and mention counts as memory-mapped arrays."""
    input:
        database=KG,
        mentions=MENTIONS,
    output:
        directory(GRAPH),
    log:
        f"{RESULTS}/logs/graph_build.log",
    benchmark:
        f"{RESULTS}/benchmarks/graph_build.tsv"
    conda:
        "../envs/graph.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        stamp=stamp("graph_build"),
        config=RESOLVED,
        mentions=lambda wildcards, input: options("--mentions", input.mentions),
    message:
        "graph: build {output}"
    shell:
        "python -m balign graph build --config {params.config:q} --database {input.database:q}"
        " {params.mentions} --output {output:q} 2> {log:q}"
