"""balign: from a biomedical knowledge graph and PubMed to an aligned language model.

Targets: all, sources, kg, corpus, linking, graph, pretrain, evaluate, report.
docs/architecture.md explains the house; docs/contracts.md what each stage reads and writes.
"""


configfile: "config/config.yaml"


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


rule all:
    """Everything, up to the report (the default target)."""
    input:
        f"{RESULTS}/report/index.html",


include: "rules/sources.smk"
include: "rules/kg.smk"
include: "rules/corpus.smk"
include: "rules/linking.smk"
include: "rules/graph.smk"
include: "rules/pretrain.smk"
include: "rules/evaluate.smk"
include: "rules/report.smk"
