"""Stage corpus: PubMed XML to citations and sentences.

Reads: PubMed XML files: those of the registry's sets, of a folder of the user's, of the publisher.
Writes: <data>/pubmed/, <results>/corpus/parsed/, live.parquet, fates.parquet, abstracts/, guard/,
selection.parquet, sentences/, counts.json.
"""

# Input functions: which files there are may hang on the publisher's listing.
ABSTRACTS = each_file("corpus/abstracts/{file}.parquet")
SENTENCES = each_file("corpus/sentences/{file}.parquet")
CORPUS_COUNTS = f"{RESULTS}/corpus/counts.json"
# Tasks whose test citations are known: from the task's source, or drawn from the corpus.
GUARDED = {
    task.name: task
    for task in CONFIG.evaluate.tasks
    if getattr(task, "source", None) or hasattr(task, "split_seed")
}
GUARDS = expand(
    f"{RESULTS}/corpus/guard/{{task}}.json", task=GUARDED if CONFIG.corpus.select.guard else []
)
# Corpora other than PubMed.
TEXTS = {text.name: text for text in CONFIG.corpus.texts}
TEXT_NAMES = "|".join(map(re.escape, TEXTS)) or "(?!)"


wildcard_constraints:
    file="[^/]+",


rule corpus:
    """Parse PubMed and split it into sentences."""
    input:
        ABSTRACTS,
        SENTENCES,
        CORPUS_COUNTS,


checkpoint corpus_list:
    """Fetch the publisher's listing; it stays until it is fetched anew (balign corpus list)."""
    output:
        f"{DATA}/pubmed/pubmed{{year}}.json",
    log:
        f"{RESULTS}/logs/corpus_list/{{year}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/corpus_list/{{year}}.tsv"
    wildcard_constraints:
        year=r"\d\d",
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=30,
        downloads=1,
    params:
        config=RESOLVED,
    message:
        "corpus: list the publisher's files"
    shell:
        "python -m balign corpus list --config {params.config:q} --output {output:q} 2> {log:q}"


rule corpus_download:
    """Download one file of PubMed, held to the publisher's md5."""
    output:
        f"{DATA}/pubmed/{{folder}}/{{file}}.xml.gz",
    log:
        f"{RESULTS}/logs/corpus_download/{{folder}}/{{file}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/corpus_download/{{folder}}/{{file}}.tsv"
    wildcard_constraints:
        folder="baseline|updatefiles",
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=60,
        downloads=1,
    params:
        config=RESOLVED,
    message:
        "corpus: download {wildcards.file}"
    shell:
        "python -m balign corpus download {wildcards.folder:q}/{wildcards.file:q}.xml.gz"
        " --config {params.config:q} --output {output:q} 2> {log:q}"


rule corpus_parse:
    """Parse one PubMed file."""
    input:
        lambda wildcards: pubmed_files()[wildcards.file][1],
    output:
        f"{RESULTS}/corpus/parsed/{{file}}.parquet",
    log:
        f"{RESULTS}/logs/corpus_parse/{{file}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/corpus_parse/{{file}}.tsv"
    wildcard_constraints:
        file=f"(?!({TEXT_NAMES})[.]parquet)[^/]+",
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        stamp=stamp("corpus_parse"),
        source=lambda wildcards: pubmed_files()[wildcards.file][0],
        columns="all" if CONFIG.corpus.columns is None else ",".join(CONFIG.corpus.columns),
    message:
        "corpus: parse {wildcards.file}"
    shell:
        "python -m balign corpus parse --source {params.source:q} --output {output:q}"
        " --columns {params.columns:q} 2> {log:q}"


rule corpus_merge:
    """Find the live version of each citation over all files."""
    input:
        each_file("corpus/parsed/{file}.parquet"),
    output:
        live=f"{RESULTS}/corpus/live.parquet",
        fates=f"{RESULTS}/corpus/fates.parquet",
    log:
        f"{RESULTS}/logs/corpus_merge.log",
    benchmark:
        f"{RESULTS}/benchmarks/corpus_merge.tsv"
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=60,
    params:
        stamp=stamp("corpus_merge"),
        parsed=lambda wildcards, input: " ".join(map(shlex.quote, input)),
    message:
        "corpus: merge revisions and deletions"
    shell:
        "python -m balign corpus merge {params.parsed} --live {output.live:q}"
        " --fates {output.fates:q} 2> {log:q}"


rule corpus_abstracts:
    """Write the live citations of one file."""
    input:
        parsed=f"{RESULTS}/corpus/parsed/{{file}}.parquet",
        fates=f"{RESULTS}/corpus/fates.parquet",
    output:
        f"{RESULTS}/corpus/abstracts/{{file}}.parquet",
    log:
        f"{RESULTS}/logs/corpus_abstracts/{{file}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/corpus_abstracts/{{file}}.tsv"
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        stamp=stamp("corpus_abstracts"),
    message:
        "corpus: write the citations of {wildcards.file}"
    shell:
        "python -m balign corpus abstracts --parsed {input.parsed:q} --fates {input.fates:q}"
        " --output {output:q} 2> {log:q}"


rule corpus_guard:
    """List a task's test citations, which no model may read before."""
    input:
        guard_files,
    output:
        f"{RESULTS}/corpus/guard/{{task}}.json",
    log:
        f"{RESULTS}/logs/corpus_guard/{{task}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/corpus_guard/{{task}}.tsv"
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        stamp=stamp("corpus_guard"),
        test=guard_options,
    message:
        "corpus: guard the test set of {wildcards.task}"
    shell:
        "python -m balign corpus guard {wildcards.task:q} {params.test} --output {output:q}"
        " 2> {log:q}"


rule corpus_select:
    """Choose the citations that are used as text: filters, leakage guard, duplicates."""
    input:
        abstracts=ABSTRACTS,
        guards=GUARDS,
    output:
        f"{RESULTS}/corpus/selection.parquet",
    log:
        f"{RESULTS}/logs/corpus_select.log",
    benchmark:
        f"{RESULTS}/benchmarks/corpus_select.tsv"
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=60,
    params:
        stamp=stamp("corpus_select"),
        config=RESOLVED,
        abstracts=lambda wildcards, input: " ".join(map(shlex.quote, input.abstracts)),
        guards=lambda wildcards, input: options("--guard", input.guards),
    message:
        "corpus: select citations"
    shell:
        "python -m balign corpus select {params.abstracts} {params.guards}"
        " --config {params.config:q} --output {output:q} 2> {log:q}"


rule corpus_split:
    """Split the selected citations of one file into sentences."""
    input:
        abstracts=f"{RESULTS}/corpus/abstracts/{{file}}.parquet",
        selection=f"{RESULTS}/corpus/selection.parquet",
    output:
        f"{RESULTS}/corpus/sentences/{{file}}.parquet",
    log:
        f"{RESULTS}/logs/corpus_split/{{file}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/corpus_split/{{file}}.tsv"
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        stamp=stamp("corpus_split"),
    message:
        "corpus: split {wildcards.file} into sentences"
    shell:
        "python -m balign corpus split --abstracts {input.abstracts:q}"
        " --selection {input.selection:q} --output {output:q} 2> {log:q}"


rule corpus_count:
    """Count what became of every citation."""
    input:
        fates=f"{RESULTS}/corpus/fates.parquet",
        selection=f"{RESULTS}/corpus/selection.parquet",
        guards=GUARDS,
        sentences=SENTENCES,
    output:
        report(
            CORPUS_COUNTS,
            caption="../resources/captions/corpus.rst",
            category="Counts",
        ),
    log:
        f"{RESULTS}/logs/corpus_count.log",
    benchmark:
        f"{RESULTS}/benchmarks/corpus_count.tsv"
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        stamp=stamp("corpus_count"),
        sentences=lambda wildcards, input: " ".join(map(shlex.quote, input.sentences)),
        guards=lambda wildcards, input: options("--guard", input.guards),
    message:
        "corpus: count"
    shell:
        "python -m balign corpus count {params.sentences} --fates {input.fates:q}"
        " --selection {input.selection:q} {params.guards} --output {output:q} 2> {log:q}"


rule corpus_read:
    """Read a corpus other than PubMed."""
    input:
        text_files,
    output:
        f"{RESULTS}/corpus/parsed/{{file}}.parquet",
    log:
        f"{RESULTS}/logs/corpus_read/{{file}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/corpus_read/{{file}}.tsv"
    wildcard_constraints:
        file=TEXT_NAMES,
    conda:
        "../envs/corpus.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        stamp=stamp("corpus_read"),
        source=text_source,
        form=lambda wildcards: TEXTS[wildcards.file].format,
        language=lambda wildcards: TEXTS[wildcards.file].language,
    message:
        "corpus: read {wildcards.file}"
    shell:
        "python -m balign corpus read {wildcards.file:q} --source {params.source:q}"
        " --format {params.form} --language {params.language:q} --output {output:q} 2> {log:q}"
