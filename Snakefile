"""balign: from a biomedical knowledge graph and PubMed to an aligned language model.

Targets: all, sources, kg, corpus, linking, graph, pretrain, evaluate, report.
docs/architecture.md explains the house; docs/contracts.md what each stage reads and writes.
"""


configfile: "config/config.yaml"


report: "resources/captions/workflow.rst"


include: "rules/common.smk"


localrules:
    all,
    sources,
    kg,
    corpus,
    linking,
    graph,
    pretrain,
    evaluate,
    report,


# Machines that a cluster computes on often have no network: downloads run where Snakemake does.
localrules:
    sources_fetch,
    sources_encoder,
    corpus_list,
    corpus_download,


if CONFIG.environments.image:

    # All rules run in it with `--sdm apptainer`; envs/Dockerfile and envs/apptainer.def make it.
    containerized: CONFIG.environments.image


rule all:
    """Everything, up to the report (the default target)."""
    input:
        f"{RESULTS}/report/index.html",
        f"{RESULTS}/ro-crate-metadata.json",


include: "rules/sources.smk"
include: "rules/kg.smk"
include: "rules/corpus.smk"
include: "rules/linking.smk"
include: "rules/graph.smk"
include: "rules/pretrain.smk"
include: "rules/evaluate.smk"
include: "rules/report.smk"


onstart:
    record_start()
