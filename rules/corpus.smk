"""Stage corpus: PubMed XML to citations and sentences.

Reads: PubMed XML files: those of the registry's sets, of a folder of the user's, of the baseline.
Writes: <data>/pubmed/baseline/, <results>/corpus/parsed/, live.parquet, abstracts/, sentences/, counts.json.
"""

PUBMED = pubmed_files()
FILES = sorted(PUBMED)
ABSTRACTS = expand(f"{RESULTS}/corpus/abstracts/{{file}}.parquet", file=FILES)
SENTENCES = expand(f"{RESULTS}/corpus/sentences/{{file}}.parquet", file=FILES)
CORPUS_COUNTS = f"{RESULTS}/corpus/counts.json"


wildcard_constraints:
    file="[^/]+",


rule corpus:
    """Parse PubMed and split it into sentences."""
    input:
        ABSTRACTS,
        SENTENCES,
        CORPUS_COUNTS,


rule corpus_download:
    """Download one file of PubMed's baseline, held to the publisher's md5."""
    output:
        f"{DATA}/pubmed/baseline/{{file}}.xml.gz",
    log:
        f"{RESULTS}/logs/corpus_download/{{file}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/corpus_download/{{file}}.tsv"
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=60,
        downloads=1,
    params:
        url=lambda wildcards: f"{CONFIG.corpus.baseline.url}/{wildcards.file}.xml.gz",
        config=RESOLVED,
    message:
        "corpus: download {wildcards.file}"
    shell:
        "python -m balign corpus download --config {params.config:q} --url {params.url:q}"
        " --output {output:q} 2> {log:q}"


rule corpus_parse:
    """Parse one PubMed file."""
    input:
        lambda wildcards: PUBMED[wildcards.file][1],
    output:
        f"{RESULTS}/corpus/parsed/{{file}}.parquet",
    log:
        f"{RESULTS}/logs/corpus_parse/{{file}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/corpus_parse/{{file}}.tsv"
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        stamp=stamp("corpus_parse"),
        source=lambda wildcards: PUBMED[wildcards.file][0],
    message:
        "corpus: parse {wildcards.file}"
    shell:
        "python -m balign corpus parse --source {params.source:q} --output {output:q} 2> {log:q}"


rule corpus_merge:
    """Find the live version of each citation over all files."""
    input:
        expand(f"{RESULTS}/corpus/parsed/{{file}}.parquet", file=FILES),
    output:
        f"{RESULTS}/corpus/live.parquet",
    log:
        f"{RESULTS}/logs/corpus_merge.log",
    benchmark:
        f"{RESULTS}/benchmarks/corpus_merge.tsv"
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        stamp=stamp("corpus_merge"),
        parsed=lambda wildcards, input: " ".join(map(shlex.quote, input)),
    message:
        "corpus: merge revisions and deletions"
    shell:
        "python -m balign corpus merge {params.parsed} --output {output:q} 2> {log:q}"


rule corpus_split:
    """Write the live citations of one file and their sentences."""
    input:
        parsed=f"{RESULTS}/corpus/parsed/{{file}}.parquet",
        live=f"{RESULTS}/corpus/live.parquet",
    output:
        abstracts=f"{RESULTS}/corpus/abstracts/{{file}}.parquet",
        sentences=f"{RESULTS}/corpus/sentences/{{file}}.parquet",
        counts=f"{RESULTS}/corpus/sentences/{{file}}.counts.json",
    log:
        f"{RESULTS}/logs/corpus_split/{{file}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/corpus_split/{{file}}.tsv"
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=30,
    params:
        stamp=stamp("corpus_split"),
        config=RESOLVED,
    message:
        "corpus: split {wildcards.file} into sentences"
    shell:
        "python -m balign corpus split --config {params.config:q} --parsed {input.parsed:q}"
        " --live {input.live:q} --abstracts {output.abstracts:q} --sentences {output.sentences:q}"
        " --counts {output.counts:q} 2> {log:q}"


rule corpus_count:
    """Add up the counts of all files."""
    input:
        expand(f"{RESULTS}/corpus/sentences/{{file}}.counts.json", file=FILES),
    output:
        CORPUS_COUNTS,
    log:
        f"{RESULTS}/logs/corpus_count.log",
    benchmark:
        f"{RESULTS}/benchmarks/corpus_count.tsv"
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=10,
    params:
        stamp=stamp("corpus_count"),
        counts=lambda wildcards, input: " ".join(map(shlex.quote, input)),
    message:
        "corpus: count"
    shell:
        "python -m balign corpus count {params.counts} --output {output:q} 2> {log:q}"
