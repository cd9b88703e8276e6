import polars as pl

from balign.linking.stop_words import everyday_words


def test_words_without_a_heading_of_their_own_are_everyday():
    """100 citations: "asthma" goes with its heading, "role" and "group" with none."""
    rows = []
    for number in range(100):
        asthma = number % 20 == 0
        words = ["group", "role" if number % 3 == 0 else "roles", "ALL"]
        words += ["asthma", "wheezing"] if asthma else []
        headings = [{"ui": "D1"}] if asthma else [{"ui": "D9"}]
        rows.append((number, " ".join(words), headings))
    citations = pl.DataFrame(rows, schema=["pmid", "text", "mesh"], orient="row")
    names = pl.DataFrame(
        {"word": ["asthma", "role", "wheezing"], "ui": ["D0", "D5", None]},
        schema={"word": pl.String, "ui": pl.String},
    )
    trees = pl.DataFrame({"ui": ["D0", "D1", "D9"], "tree": ["C1", "C1.2", "M1"]})
    found = everyday_words(citations, names, trees)
    # "asthma" names a heading above D1; "wheezing" has none but goes with D1 alone.
    assert found["word"].to_list() == ["group", "role"]
    assert found["share"].to_list() == [1.0, 1.0]
    assert found["indexed"].to_list() == [0.0, 0.0]
