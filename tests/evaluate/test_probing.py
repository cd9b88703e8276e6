import math
import types
from typing import ClassVar

import duckdb
import polars as pl
import pytest
import torch
import transformers

from balign.evaluate.mask_filling import Pieces, fill_masks
from balign.evaluate.outcome import Run, TaskSkipped
from balign.evaluate.probing import (
    Probe,
    distinct_texts,
    query_of,
    read_probes,
    run,
    special_pieces,
)
from balign.evaluate.zero_shot_settings import ProbingTask
from balign.pretrain.encoder import load_text_encoder


@pytest.fixture(scope="module")
def masked_folder(encoder_folder, tmp_path_factory):
    """A two-layer BERT with an MLM head, seeded random weights."""
    folder = tmp_path_factory.mktemp("masked")
    transformers.AutoTokenizer.from_pretrained(str(encoder_folder)).save_pretrained(str(folder))
    torch.manual_seed(3)
    config = transformers.AutoConfig.from_pretrained(str(encoder_folder))
    transformers.BertForMaskedLM(config).save_pretrained(str(folder))
    return folder


def slowly(model, query, pieces, masks, beam):
    """The same search, written anew: one state at a time, all logits, no tensors kept."""
    before, after = query
    states = [([*before, *[pieces.mask] * masks, *after], 0.0)]
    for _ in range(masks):
        grown = []
        for ids, score in states:
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([ids])).logits[0].double()
            logits[:, list(pieces.banned)] = -math.inf
            chances = logits.log_softmax(dim=-1)
            open_places = [row for row, one in enumerate(ids) if one == pieces.mask]
            fillings = [
                (chance, row, piece)
                for row in open_places
                for piece, chance in enumerate(chances[row].tolist())
            ]
            for chance, row, piece in sorted(fillings, key=lambda one: -one[0])[:beam]:
                grown.append(([*ids[:row], piece, *ids[row + 1 :]], score + chance))
        states = []
        for ids, score in sorted(grown, key=lambda one: -one[1]):
            if all(ids != other for other, _ in states) and len(states) < beam:
                states.append((ids, score))
    start = len(before)
    return [(tuple(ids[start : start + masks]), score / masks) for ids, score in states]


def test_all_at_once_is_one_by_one(masked_folder):
    encoder, new_head = load_text_encoder(masked_folder)
    assert not new_head
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(masked_folder))
    pieces = special_pieces(tokenizer)
    texts = [("heart attack", "x"), ("a b c", "d"), ("asthma", "e f"), ("", "mice g")]
    queries = [
        query_of(Probe(side, "r", label, given, ()), tokenizer, 10)
        for side in ("head", "tail")
        for given, label in texts
    ]
    queries.append(queries[0])  # asked twice
    with torch.inference_mode():
        found = fill_masks(encoder.eval(), queries, pieces, max_masks=4, beam=3)
    model = transformers.BertForMaskedLM.from_pretrained(str(masked_folder)).eval()
    assert found[-1] == found[0]
    for query, answers in zip(queries, found, strict=True):
        wanted = [
            one for masks in range(1, 5) for one in slowly(model, query, pieces, masks, beam=3)
        ]
        wanted.sort(key=lambda one: -one[1])
        assert [one.pieces for one in answers] == [one[0] for one in wanted]
        scores = [one.score for one in answers]
        assert scores == pytest.approx([one[1] for one in wanted], abs=1e-4)


class ByHand:
    """A model of five pieces, 0 [CLS], 1 [SEP], 2 [MASK], 3 x and 4 y, with chances set by hand.

    With both masks open the second has y 0.6, x 0.4; the first has x 0.55, y 0.45.
    After y as second the first is x with 0.9; after x as second it is y with 0.8.
    After x as first the second is y with 0.75; after y as first it is either.
    """

    CHANCES: ClassVar = {
        (2, 2): {1: {3: 0.55, 4: 0.45}, 2: {3: 0.4, 4: 0.6}},
        (2, 4): {1: {3: 0.9, 4: 0.1}},
        (2, 3): {1: {3: 0.2, 4: 0.8}},
        (3, 2): {2: {3: 0.25, 4: 0.75}},
        (4, 2): {2: {3: 0.5, 4: 0.5}},
        (2,): {1: {3: 0.7, 4: 0.3}},
    }

    def __init__(self):
        self.model = types.SimpleNamespace(base_model=self.states)

    def parameters(self):
        return iter([torch.zeros(1)])

    def states(self, input_ids, attention_mask):
        rows, length = input_ids.shape
        place = torch.arange(length).view(1, length, 1).expand(rows, -1, 1)
        whole = input_ids[:, None].expand(-1, length, -1)
        return types.SimpleNamespace(last_hidden_state=torch.cat([place, whole], dim=2))

    def logits(self, hidden, positions):
        found = torch.full((len(positions), 5), -30.0)
        for row, (place, _, *ids) in enumerate(hidden[positions].tolist()):
            for piece, chance in self.CHANCES[tuple(ids[:-1])][place].items():
                found[row, piece] = math.log(chance)
        return found


def test_the_beam_by_hand():
    (answers,) = fill_masks(ByHand(), [((0,), (1,))], Pieces(2, (0, 1, 2)), max_masks=2, beam=2)
    wanted = [
        # The second mask first; the other state kept, the first one first, has 0.55 * 0.75.
        ((3, 4), math.log(0.6 * 0.9) / 2),
        ((3,), math.log(0.7)),
        ((3, 3), math.log(0.55 * 0.25) / 2),  # better than (4, 4), 0.6 * 0.1
        ((4,), math.log(0.3)),
    ]
    wanted.sort(key=lambda one: -one[1])
    assert [one.pieces for one in answers] == [one[0] for one in wanted]
    assert [one.score for one in answers] == pytest.approx([one[1] for one in wanted], abs=1e-6)


def test_a_beam_wider_than_the_vocabulary():
    (answers,) = fill_masks(ByHand(), [((0,), (1,))], Pieces(2, (0, 1, 2)), max_masks=2, beam=9)
    pairs = {one.pieces: math.exp(2 * one.score) for one in answers if len(one.pieces) == 2}
    # Each in the better one of its two orders.
    wanted = {(3, 4): 0.6 * 0.9, (4, 3): 0.4 * 0.8, (4, 4): 0.45 * 0.5, (3, 3): 0.55 * 0.25}
    assert pairs == pytest.approx(wanted, abs=1e-5)


def test_probes_are_distinct_questions_with_all_right_names(database):
    task = ProbingTask(name="p", family="probing", triples=100)
    with duckdb.connect(str(database), read_only=True) as graph:
        probes = read_probes(graph, task)
    by_key = {(one.relation, one.side, one.given): one for one in probes}
    assert len(by_key) == len(probes) == 5  # three edges; two of them ask for the heads of one tail
    assert by_key["is_a", "head", "shared synonym"].right == (
        "asthma", "asthma disease", "bronchial asthma", "heart attack", "heart attack acute",
        "myocardial infarction",
    )  # fmt: skip
    assert by_key["may_treat", "tail", "water"].label == "may treat"


def test_trivial():
    assert Probe("tail", "r", "is a", "Acute asthma", ("asthma",)).trivial
    assert not Probe("tail", "r", "is a", "asthmatic state", ("asthma",)).trivial


def test_run(masked_folder, encoder_folder, database):
    task = ProbingTask(name="p", family="probing", triples=4, max_masks=2)
    outcome = run(task, Run(model=masked_folder, seed=1, database=database))
    assert len(outcome.predictions) == outcome.counts["distinct_queries"] == 5
    assert outcome.predictions["answers"].list.len().max() == 10  # five of each number of masks
    assert outcome.predictions.schema["rank"] == pl.Int32
    again = run(task, Run(model=masked_folder, seed=1, database=database))
    assert outcome.predictions.equals(again.predictions)
    with pytest.raises(TaskSkipped, match="no MLM head"):
        run(task, Run(model=encoder_folder, seed=1, database=database))


def test_texts_are_distinct(masked_folder):
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(masked_folder))
    heart, mice = tokenizer.convert_tokens_to_ids(["heart", "mice"])
    answers = [types.SimpleNamespace(pieces=one) for one in ((heart,), (heart,), (mice, heart))]
    assert distinct_texts(tokenizer, answers) == ["heart", "mice heart"]
