"""Stage report: one page that tells what was built and how good it is.

Reads: counts, metrics and results of all stages.
Writes: <results>/report/index.html with its figures, <results>/report/leaderboard.csv;
<results>/provenance/results.json and <results>/ro-crate-metadata.json.
"""

TEMPLATES = ["page.html.j2", "macros.html.j2", "page.css"]
REPORT = f"{RESULTS}/report/index.html"
CRATE = f"{RESULTS}/ro-crate-metadata.json"


rule report:
    """Render the report and write the provenance of all results."""
    input:
        REPORT,
        CRATE,


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
        # The digest of the code covers modules only.
        templates=[f"workflow/balign/report/{name}" for name in TEMPLATES],
    output:
        page=report(REPORT, caption="../resources/captions/report.rst", category="Report"),
        table=f"{RESULTS}/report/leaderboard.csv",
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
        results=lambda wildcards, input: Path(input.graph).parent,
        folder=lambda wildcards, output: Path(output.page).parent,
        manifests=lambda wildcards, input: options("--manifest", input.manifests),
        tokens=lambda wildcards, input: options("--tokens", input.tokens),
        models=lambda wildcards, input: options("--model", input.models),
    message:
        "report: render {output.page}"
    shell:
        "python -m balign report render --config {params.config:q} {params.manifests}"
        " --kg {params.results:q}/kg --corpus {params.results:q}/corpus"
        " --linking {params.results:q}/linking --graph {input.graph:q} {params.tokens}"
        " {params.models} --leaderboard {input.leaderboard:q}"
        " --benchmarks {params.results:q}/benchmarks --output {params.folder:q} 2> {log:q}"


rule report_provenance:
    """Write what made each result: one JSON file, and an RO-Crate."""
    input:
        manifests=[source(name) for name in SOURCES],
        page=REPORT,
    output:
        results=report(
            f"{RESULTS}/provenance/results.json",
            caption="../resources/captions/provenance.rst",
            category="Report",
        ),
        crate=CRATE,
    log:
        f"{RESULTS}/logs/report_provenance.log",
    benchmark:
        f"{RESULTS}/benchmarks/report_provenance.tsv"
    conda:
        "../envs/report.yaml"
    threads: 4
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        stamp=stamp("report_provenance"),
        config=RESOLVED,
        folder=lambda wildcards, output: Path(output.results).parents[1],
        manifests=lambda wildcards, input: options("--manifest", input.manifests),
    message:
        "report: provenance of {params.folder}"
    shell:
        "python -m balign report provenance --config {params.config:q} {params.manifests}"
        " --results {params.folder:q} --records .snakemake/metadata --threads {threads}"
        " --output {output.results:q} 2> {log:q}"
