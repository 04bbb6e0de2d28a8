"""What a profile reads, and what is said of it before anything is fetched."""

from __future__ import annotations

import pytest

from smaller import encoders
from smaller.__main__ import main
from smaller.base.errors import SmallerError
from smaller.data import splits
from smaller.data.datasets import DATASETS
from smaller.encoders import PlannedFetch
from smaller.inputs import fetching, needs
from smaller.notebook.profiles import profiles


@pytest.fixture(autouse=True)
def nothing_here(fresh_folders, monkeypatch):
    for name in ("SMALLER_DATA", "SMALLER_MODELS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def test_the_sample_needs_nothing():
    found = needs.of_profile("sample")
    assert list(found.encoders) == ["sample-small"] and found.data == {}
    assert [part.missing for part in fetching.plan(found)] == [()]
    assert list(fetching.lines(fetching.plan(found)))[-1] == "everything is here"


def test_the_paper_profile_needs_what_its_notebooks_name():
    found = needs.of_profile("paper")
    assert set(found.encoders) == {"afriberta-small", "afriberta-base", "afriberta-large", "xlm-r-base", "mbert"}
    assert {
        "masakhaner",
        "masakhaner2",
        "uner",
        "afrisenti",
        "sib200",
        "wikiann",
        "ud",
        "masakhapos",
        "sentiment",
        "afriberta-corpus",
        "glotcc",
    } == set(found.data)
    assert set(found.data["wikiann"]) == {"mlt", "slk", "swa"} and set(found.data["masakhapos"]) == {"swa"}
    assert {"lug", "luo", "wol", "mlt"} <= set(found.data["glotcc"]), "trimming reads text of every language"


def test_every_profile_names_data_that_can_be_had_by_anybody():
    for profile in profiles():
        for name, codes in needs.of_profile(profile).data.items():
            for code in codes:
                assert DATASETS[name].source(code).repository, f"{profile}: {name}/{code} has no source"


def test_an_encoder_that_is_made_needs_what_it_is_made_from():
    found = needs.of_profile("mini", only=["00_quickstart"])
    assert list(found.encoders) == ["e5-small"]
    assert set(found.data) == {"masakhaner", "afriberta-corpus"} and set(found.data["masakhaner"]) == {"swa"}
    assert len(found.data["afriberta-corpus"]) == 10


def test_what_is_to_fetch_is_said_with_size_licence_and_source(monkeypatch):
    planned = PlannedFetch(
        "mbert", "google/mbert", 40 * "c", "Apache-2.0", False, (("model.safetensors", 700_000_000),), False
    )
    monkeypatch.setattr(encoders, "plan_fetch", lambda name: planned)
    found = needs.named(["mbert", "masakhaner", "corpus"], languages=["swa"])
    encoder, data, derived = fetching.plan(found)
    assert str(encoder) == "mbert: 1 file, 700.0 MB, from google/mbert at cccccccccccc; licence Apache-2.0"
    assert data.missing and data.size == sum(file.size for file in fetching.fetch.wanted("masakhaner", ["swa"]))
    assert "licence CC BY-NC 4.0 (non-commercial)" in str(data)
    assert "cannot be fetched: its files are derived" in str(derived)
    assert list(fetching.lines([encoder, data, derived]))[-1].startswith("to fetch: 700.7 MB, and 1 of unknown size; ")


def test_what_cannot_be_brought_does_not_stop_the_rest(monkeypatch):
    brought = []
    monkeypatch.setattr(fetching.fetch, "fetch", lambda name, **_: brought.append(name))
    monkeypatch.setattr(encoders, "is_here", lambda name: False)

    def fail(name, **_):
        raise SmallerError("the hub is down")

    monkeypatch.setattr(encoders, "fetch", fail)
    assert fetching.fetch_all(needs.named(["mbert", "sib200"])) == ["mbert: the hub is down"]
    assert brought == ["sib200"]


def test_names_of_encoders_data_sets_and_the_hub_are_told_apart():
    found = needs.named(["afriberta-small", "sib200", "masakhane/masakhaner2:swa"], languages=["swa"])
    assert list(found.encoders) == ["afriberta-small"]
    assert {name: list(codes) for name, codes in found.data.items()} == {
        "sib200": ["swa"],
        "masakhane/masakhaner2:swa": [],
    }
    with pytest.raises(SmallerError, match="Did you mean 'masakhaner'"):
        needs.named(["masakhanr"])
    with pytest.raises(SmallerError, match="no Fon"):
        needs.named(["masakhaner"], languages=["fon"])


def test_the_command_tells_fetches_nothing_in_a_dry_run_and_fails_where_something_is_missing(capsys):
    assert main(["fetch", "--profile", "sample", "--dry-run"]) == 0
    assert main(["fetch", "masakhaner", "--languages", "swa", "--dry-run"]) == 0
    assert "masakhaner: 3 files, 0.7 MB" in capsys.readouterr().out
    assert main(["fetch", "masakhaner", "--languages", "swa"]) == 1
    assert "HF_HUB_OFFLINE forbids downloads" in capsys.readouterr().err
    assert main(["fetch"]) == 2 and "Name data sets or encoders" in capsys.readouterr().err
    assert main(["check", "--profile", "mini"]) == 1
    told = capsys.readouterr().out
    assert "mini: e5-small" in told and "python -m smaller fetch --profile mini" in told


def test_a_task_stands_for_the_languages_that_it_has():
    assert splits.has_training("ud", "mlt") and not splits.has_training("ud", "slk")
    assert not splits.has_text("afriberta-corpus", "lug") and splits.has_text("glotcc", "lug")
