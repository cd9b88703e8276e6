"""Stage report: one page that tells what was built and how good it is.

Reads: counts, metrics and results of all stages.
Writes: <results>/report/index.html with its figures, <results>/report/leaderboard.csv.
"""

REPORT = f"{RESULTS}/report/index.html"


rule report:
    """Render the report."""
    input:
        REPORT,


rule report_render:
    """Render the report as one page that needs no network."""
    input:
        manifests=[source(name) for name in SOURCES],
        kg=KG,
        kg_counts=KG_COUNTS,
        corpus_counts=CORPUS_COUNTS,
        linking_counts=LINKING_COUNTS,
        abstracts=ABSTRACTS,
        sentences=SENTENCES,
        mentions=MENTIONS,
        graph=GRAPH,
        tokens=[f"{RESULTS}/pretrain/tokens/{key}" for key in ENCODERS],
        models=[model_folder(model) for model in MODELS],
        leaderboard=LEADERBOARD,
    output:
        REPORT,
    log:
        f"{RESULTS}/logs/report_render.log",
    benchmark:
        f"{RESULTS}/benchmarks/report_render.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        stamp=stamp("report_render"),
        config=RESOLVED,
        files=lambda wildcards, input: " ".join(
            options(f"--{kind.replace('_', '-')}", [files] if isinstance(files, str) else files)
            for kind, files in input.items()
        ),
    message:
        "report: render {output}"
    shell:
        "python -m balign report render --config {params.config:q} {params.files}"
        " --output $(dirname {output:q}) 2> {log:q}"
