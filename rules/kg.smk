"""Stage kg: merge ontologies (and UMLS, where there is one) into one DuckDB file.

Reads: manifests of the ontologies; a folder of RRF files.
Writes: <results>/kg/kg.duckdb, <results>/kg/counts.json.
"""

KG = f"{RESULTS}/kg/kg.duckdb"
KG_COUNTS = f"{RESULTS}/kg/counts.json"


rule kg:
    """Build the knowledge graph."""
    input:
        KG,


rule kg_build:
    """Build the knowledge graph's database."""
    input:
        sources=[source(name) for name in CONFIG.kg.sources],
        rrf=rrf_files(),
    output:
        database=KG,
        counts=report(
            KG_COUNTS,
            caption="../resources/captions/kg.rst",
            category="Counts",
        ),
    log:
        f"{RESULTS}/logs/kg_build.log",
    benchmark:
        f"{RESULTS}/benchmarks/kg_build.tsv"
    conda:
        "../envs/kg.yaml"
    threads: 2
    resources:
        mem_mb=6000,
        runtime=120,
    params:
        stamp=stamp("kg_build"),
        config=RESOLVED,
        sources=lambda wildcards, input: options("--source", input.sources),
    message:
        "kg: build {output.database}"
    shell:
        "python -m balign kg build --config {params.config:q} {params.sources}"
        " --threads {threads} --memory-mb {resources.mem_mb}"
        " --database {output.database:q} --counts {output.counts:q} 2> {log:q}"
