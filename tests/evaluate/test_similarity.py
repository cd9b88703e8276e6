import numpy as np
import pytest
from scipy.stats import spearmanr

from balign.embedding import embed_names, load_encoder
from balign.errors import DataError
from balign.evaluate.metrics import METRICS
from balign.evaluate.outcome import Run, TaskSkipped
from balign.evaluate.similarity import run
from balign.evaluate.zero_shot_settings import SimilarityTask

PAIRS = (
    'Mean,Term1,Term2\n10,heart,"heart, attack"\n3.5,asthma,mice\n1,women,children\n7, mice,women\n'
)


def task(**values):
    values = {"file": "pairs.csv", "path": "anywhere", **values}
    return SimilarityTask(name="s", family="similarity", **values)


@pytest.mark.parametrize("pooling", ["mean", "cls", "first_last"])
def test_cosines(encoder_folder, tmp_path, pooling):
    (tmp_path / "pairs.csv").write_text(PAIRS)
    given = Run(model=encoder_folder, seed=1, folder=tmp_path)
    outcome = run(task(pooling=pooling), given)
    encoder = load_encoder(encoder_folder)
    first, second = (
        embed_names(encoder, outcome.predictions[name].to_list(), "x", pooling)
        for name in ("first", "second")
    )
    cosine = (first * second).sum(axis=1)
    np.testing.assert_allclose(outcome.predictions["predicted"], cosine, atol=2e-5)
    assert outcome.predictions["second"][0] == "heart, attack"
    assert outcome.predictions["first"][3] == "mice"
    wanted = spearmanr([10, 3.5, 1, 7], cosine).statistic
    assert METRICS[outcome.metrics[0]].value(outcome.predictions) == pytest.approx(wanted)
    assert outcome.counts == {"distinct_pairs": 4}


def test_other_columns_and_tabs(encoder_folder, tmp_path):
    (tmp_path / "b.tsv").write_text("a\tb\tscore\nheart\tmice\t4\n")
    given = Run(model=encoder_folder, seed=1, folder=tmp_path)
    outcome = run(task(file="b.tsv", columns=("a", "b", "score")), given)
    assert outcome.predictions["gold"].to_list() == [4]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Term1,Term2\na,b\n", "not a table with the columns"),
        ("Term1,Term2,Mean\na,b,many\n", "not a table with the columns"),
        ("Term1,Term2,Mean\na,,3\n", "is missing"),
        ("Term1,Term2,Mean\n", "no row"),
    ],
)
def test_bad_tables(encoder_folder, tmp_path, text, problem):
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(DataError, match=problem):
        run(task(), Run(model=encoder_folder, seed=1, folder=tmp_path))


def test_a_file_that_is_not_there_is_a_reason_to_skip(encoder_folder, tmp_path):
    with pytest.raises(TaskSkipped, match=r"pairs\.csv: ask the authors"):
        run(task(obtain="ask the authors"), Run(model=encoder_folder, seed=1, folder=tmp_path))
