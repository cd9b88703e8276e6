"""The publisher's listing, and the files that a configuration wants of it."""

import pytest
from pydantic import ValidationError

from balign.corpus.listing import check_one_year, corpus_list, needs_listing, wanted_files
from balign.corpus.settings import PubmedSettings
from balign.errors import ConfigError, SourceError
from balign.files import read_json
from balign.sources.settings import SourcesSettings

SETTINGS = SourcesSettings(retries=1, backoff_seconds=0.01, timeout_seconds=5)


@pytest.fixture
def listing(publisher, tmp_path):
    """Publish files by number, list them, and return the listing's path."""

    def run(baseline, updates, published_year=26, year=26):
        for folder, numbers in (("baseline", baseline), ("updatefiles", updates)):
            for number in numbers:
                publisher.publish(f"{folder}/pubmed{published_year}n{number:04d}.xml.gz", b"")
            publisher.files[f"{folder}/README.txt"] = b""
        output = tmp_path / "pubmed.json"
        corpus_list(PubmedSettings(url=f"{publisher.url}/", year=year), SETTINGS, output)
        return output

    return run


def test_listing(listing, publisher):
    assert read_json(listing([1, 2, 3], [4, 5])) == {
        "url": f"{publisher.url}/",
        "year": 26,
        "baseline": [1, 2, 3],
        "updates": [4, 5],
    }


def test_a_new_baseline_has_no_updates(listing):
    assert read_json(listing([1], []))["updates"] == []


def test_a_busy_server_is_asked_again(listing, publisher):
    publisher.fault("baseline/", "status", status=503)
    assert read_json(listing([1], []))["baseline"] == [1]


def test_what_is_wrong_with_a_listing(listing, publisher, tmp_path):
    with pytest.raises(
        SourceError, match=r"no file of pubmed25, but of pubmed26.*corpus\.pubmed\.y"
    ):
        listing([1, 2], [], year=25)
    with pytest.raises(SourceError, match="lacks pubmed26n0003"):
        listing([1, 2, 4], [])
    del publisher.files["baseline/pubmed26n0001.xml.gz.md5"]
    with pytest.raises(SourceError, match="lacks the md5 of pubmed26n0001"):
        listing([], [])
    publisher.index = lambda folder: b"<html><body>Please sign in.</body></html>"
    with pytest.raises(SourceError, match="no PubMed file"):
        listing([], [])
    publisher.index = lambda folder: b"<html><pre>cut sho"
    with pytest.raises(SourceError, match="cut short"):
        listing([], [])
    publisher.fault("baseline/", "status", status=404)
    with pytest.raises(SourceError, match=r"HTTP 404(.|\n)*baseline/"):
        listing([], [])
    assert not list(tmp_path.iterdir())


def names(listing=None, **settings):
    return list(wanted_files(PubmedSettings(**settings), listing))


def test_files_by_number_need_no_listing():
    settings = PubmedSettings(baseline="3, 1-2", updates="1275")
    assert not needs_listing(settings)
    assert not needs_listing(None)
    assert wanted_files(settings, None) == {
        "pubmed26n0001": "baseline",
        "pubmed26n0002": "baseline",
        "pubmed26n0003": "baseline",
        "pubmed26n1275": "updatefiles",
    }
    assert names(baseline="none", updates=7, year=9) == ["pubmed09n0007"]


def test_all_files(listing):
    path = listing([1, 2, 3], [4, 5])
    assert needs_listing(PubmedSettings(baseline="all"))
    assert needs_listing(PubmedSettings(baseline="1", updates="all"))
    assert names(path, baseline="all", updates="none") == [f"pubmed26n000{n}" for n in (1, 2, 3)]
    assert names(path, baseline="2", updates="all") == [f"pubmed26n000{n}" for n in (2, 4, 5)]


def test_a_sample_is_fixed_by_its_seed_and_stays_when_files_are_added():
    drawn = names(baseline="1-1000", sample=20)
    assert len(drawn) == 20
    assert drawn == sorted(drawn) == names(baseline="1-1000", sample=20)
    assert drawn != names(baseline="1-1000", sample=20, seed=14)
    assert len(set(drawn) & set(names(baseline="1-1100", sample=20))) >= 15
    assert names(baseline="1-1000", sample=20, updates="1001")[-1] == "pubmed26n1001"
    with pytest.raises(ConfigError, match="11 of 10 files"):
        names(baseline="1-10", sample=11)


@pytest.mark.parametrize("text", ["1-", "a", "", "1,,2", "-3", "all, 3", "9-3"])
def test_a_wrong_range_is_refused(text):
    with pytest.raises(ValidationError):
        PubmedSettings(baseline=text)


def test_files_of_two_years_are_refused():
    check_one_year(["pubmed26n0001", "pubmed26n1300", "own"])
    with pytest.raises(ConfigError, match="pubmed20n0014 and pubmed26n0001"):
        check_one_year(["pubmed26n0001", "pubmed20n0014", "own"])
