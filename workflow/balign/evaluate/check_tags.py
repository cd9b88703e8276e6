"""Family ``check_tags``: fine-tune the encoder to predict MeSH check tags of citations.

Indexers give every citation the check tags that apply (NLM, MeSH Indexing Principles): species,
sex, age groups. Labels are the tags common enough in the given citations, whatever the split.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from balign.draw import draw_key
from balign.embedding import Encoder, load_encoder, mean_pool, pad
from balign.errors import DataError
from balign.evaluate.check_tag_names import CHECK_TAGS
from balign.evaluate.metrics import GOLD, PREDICTED
from balign.evaluate.outcome import Outcome, Run
from balign.evaluate.settings import CheckTagTask
from balign.progress import track

log = logging.getLogger(__name__)

BoolMatrix = npt.NDArray[np.bool_]
FloatMatrix = npt.NDArray[np.float32]

_MIN_SHARE = 0.02  # 12 positives among 600 test citations
_HEAD_RATE = 10  # the new head learns so many times faster than the encoder
_WARMUP = 0.1  # share of the steps
_WEIGHT_DECAY = 0.01
_INFERENCE_BATCH = 32


@dataclass(frozen=True)
class Citations:
    """Citations with labels.

    Attributes:
        pmids: int64 ``[n]``.
        texts: title and abstract, ``[n]``.
        tags: ``[n, labels]``.
    """

    pmids: npt.NDArray[np.int64]
    texts: list[str]
    tags: BoolMatrix

    def take(self, rows: npt.NDArray[np.int64]) -> Citations:
        """Return the citations at some positions."""
        return Citations(self.pmids[rows], [self.texts[row] for row in rows], self.tags[rows])


def run(task: CheckTagTask, run: Run) -> Outcome:
    """Fine-tune on the training citations, set thresholds on development, predict test.

    Raises:
        DataError: if there are too few indexed citations.
    """
    citations, labels = read_citations(run.abstracts)
    train, development, test = split(citations, task)
    log.info("%d citations, %d labels: %s", len(citations.pmids), len(labels), ", ".join(labels))
    torch.manual_seed(run.seed)  # dropout
    encoder = load_encoder(run.model)
    head = new_head(encoder, train.tags, run.seed)
    fine_tune(encoder, head, train, task, run.seed)
    thresholds = best_thresholds(
        probabilities(encoder, head, development.texts, task.max_tokens), development.tags
    )
    predicted = probabilities(encoder, head, test.texts, task.max_tokens) >= thresholds
    columns = {GOLD + label: test.tags[:, row] for row, label in enumerate(labels)}
    columns |= {PREDICTED + label: predicted[:, row] for row, label in enumerate(labels)}
    predictions = pl.DataFrame({"example": test.pmids, **columns}).sort("example")
    counts = {
        "citations": len(citations.pmids),
        "labels": len(labels),
        "train": len(train.pmids),
        "development": len(development.pmids),
    }
    return Outcome(predictions, ("micro_f1", "macro_f1"), counts=counts)


def read_citations(files: Sequence[Path]) -> tuple[Citations, list[str]]:
    """Return the citations that have an abstract and MeSH headings, and the labels.

    A label is a check tag that at least 2 % of these citations have; so it depends on the corpus
    and not on the split.

    Raises:
        DataError: if a file cannot be read, or there is no such citation.
    """
    wanted = ["pmid", "text", "abstract", "mesh"]
    try:
        frame = pl.concat([pl.read_parquet(file, columns=wanted) for file in files])
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(
            f"abstracts cannot be read: {error}", where=", ".join(map(str, files))
        ) from None
    frame = frame.filter(
        pl.col("mesh").list.len() > 0, pl.col("abstract").str.len_chars() > 0
    ).sort("pmid")
    if frame.is_empty():
        raise DataError(
            "no citation has both an abstract and MeSH headings", where=", ".join(map(str, files))
        )
    names = pl.col("mesh").list.eval(pl.element().struct.field("name"))
    tags = frame.select(names.list.contains(tag).alias(tag) for tag in CHECK_TAGS).to_numpy()
    common = tags.mean(axis=0) >= _MIN_SHARE
    labels = [tag for tag, kept in zip(CHECK_TAGS, common, strict=True) if kept]
    return Citations(frame["pmid"].to_numpy(), frame["text"].to_list(), tags[:, common]), labels


def split(citations: Citations, task: CheckTagTask) -> tuple[Citations, Citations, Citations]:
    """Return train, development and test, drawn by a hash of the PMID.

    Test is drawn first, then development: other sizes of training leave both as they are.

    Raises:
        DataError: if there are fewer citations than the task wants.
    """
    sizes = (task.test_citations, task.development_citations, task.train_citations)
    if len(citations.pmids) < sum(sizes):
        raise DataError(
            f"task {task.name} wants {sum(sizes)} indexed citations with abstract, "
            f"there are {len(citations.pmids)}",
            hint="lower train_citations, development_citations or test_citations",
        )
    keys = [draw_key(task.split_seed, str(pmid)) for pmid in citations.pmids.tolist()]
    order = np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)
    test, development, train = np.split(order[: sum(sizes)], np.cumsum(sizes)[:2])
    return citations.take(train), citations.take(development), citations.take(test)


def new_head(encoder: Encoder, tags: BoolMatrix, seed: int) -> torch.nn.Linear:
    """Return a linear head ``[d] -> [labels]`` that starts at the labels' shares in training.

    Starting at the shares saves the steps in which a head of zeros would only learn them.
    """
    generator = torch.Generator().manual_seed(seed)
    head = torch.nn.Linear(encoder.model.config.hidden_size, tags.shape[1])
    share = torch.tensor((tags.sum(axis=0) + 1) / (len(tags) + 2), dtype=torch.float32)
    with torch.no_grad():
        head.weight.normal_(0, 0.02, generator=generator)
        head.bias.copy_(torch.logit(share))
    return head.to(encoder.device)


def fine_tune(
    encoder: Encoder, head: torch.nn.Linear, train: Citations, task: CheckTagTask, seed: int
) -> None:
    """Train encoder and head in place: AdamW, binary cross entropy, linear warm-up and decay.

    A loop of our own: transformers' Trainer needs the package accelerate, which nothing else of
    balign does.
    """
    ids = _token_ids(encoder, train.texts, task.max_tokens)
    tags = torch.tensor(train.tags, dtype=torch.float32)
    rng = np.random.default_rng(seed)
    batches = [
        batch
        for _ in range(task.epochs)
        for batch in length_grouped([len(one) for one in ids], task.batch_size, rng)
    ]
    groups = [
        {"params": list(encoder.model.parameters()), "lr": task.learning_rate},
        {"params": list(head.parameters()), "lr": task.learning_rate * _HEAD_RATE},
    ]
    parameters = [*encoder.model.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(groups, weight_decay=_WEIGHT_DECAY)
    warmup = max(1, math.ceil(_WARMUP * len(batches)))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda step: min((step + 1) / warmup, (len(batches) - step) / (len(batches) - warmup + 1)),
    )
    encoder.model.train()
    losses = []
    for batch in track(batches, "fine-tuning steps"):
        logits = _logits(encoder, head, [ids[row] for row in batch])
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, tags[torch.from_numpy(batch)].to(encoder.device)
        )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
    encoder.model.eval()
    last = max(1, len(losses) // 10)
    log.info(
        "loss %.3f at first, %.3f in the last %d steps", losses[0], np.mean(losses[-last:]), last
    )


def length_grouped(
    lengths: Sequence[int], batch_size: int, rng: np.random.Generator
) -> list[npt.NDArray[np.int64]]:
    """Return batches of positions, in random order, each of texts of like length.

    The texts are shuffled, sorted by length within blocks of 16 batches, and cut: little is padded
    and the batches still differ from pass to pass.
    """
    order = rng.permutation(len(lengths))
    block = 16 * batch_size
    batches = []
    for start in range(0, len(order), block):
        part = sorted(order[start : start + block].tolist(), key=lambda row: lengths[row])
        for begin in range(0, len(part), batch_size):
            batches.append(np.array(part[begin : begin + batch_size], dtype=np.int64))
    return [batches[row] for row in rng.permutation(len(batches))]


def probabilities(
    encoder: Encoder, head: torch.nn.Linear, texts: Sequence[str], max_tokens: int
) -> FloatMatrix:
    """Return the probability of each label, ``[texts, labels]``."""
    ids = _token_ids(encoder, texts, max_tokens)
    order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
    found = np.empty((len(ids), head.out_features), dtype=np.float32)
    starts = range(0, len(order), _INFERENCE_BATCH)
    with torch.inference_mode():
        for start in track(starts, "batches predicted"):
            rows = order[start : start + _INFERENCE_BATCH]
            logits = _logits(encoder, head, [ids[row] for row in rows])
            found[rows] = torch.sigmoid(logits).cpu().numpy()
    return found


def best_thresholds(probability: FloatMatrix, gold: BoolMatrix) -> FloatMatrix:
    """Return for each label the threshold of the best F1, ``[labels]``.

    Candidates are the midpoints between neighbouring probabilities; of equal F1 the lowest
    threshold wins. A label without a positive gets 0.5.
    """
    thresholds = np.full(gold.shape[1], 0.5, dtype=np.float32)
    for label in np.flatnonzero(gold.any(axis=0)):
        order = np.argsort(-probability[:, label], kind="stable")
        values = probability[order, label]
        hits = np.cumsum(gold[order, label])
        predicted = np.arange(1, len(order) + 1)
        f1 = 2 * hits / (predicted + hits[-1])
        below = np.append(values[1:], 0.0)
        f1[values == below] = -1  # no threshold lies between equal values
        # From the end, so that of equal F1 the one with most predictions is found first.
        best = len(f1) - 1 - int(np.argmax(f1[::-1]))
        thresholds[label] = (values[best] + below[best]) / 2
    return thresholds


def _token_ids(encoder: Encoder, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
    ids: list[list[int]] = encoder.tokenizer(list(texts), truncation=True, max_length=max_tokens)[
        "input_ids"
    ]
    return ids


def _logits(encoder: Encoder, head: torch.nn.Linear, ids: Sequence[Sequence[int]]) -> torch.Tensor:
    """Return ``[len(ids), labels]``."""
    tokens, mask = pad(ids, encoder.tokenizer.pad_token_id)
    tokens, mask = tokens.to(encoder.device), mask.to(encoder.device)
    states = encoder.model(input_ids=tokens, attention_mask=mask).last_hidden_state
    logits: torch.Tensor = head(mean_pool(states, mask))
    return logits
