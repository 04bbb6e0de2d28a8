"""What a profile reads, and what is said of it before anything is fetched."""

from __future__ import annotations

import json

import pytest
from played_hub import PlayedHub, glotcc, mbert, told_by

from smaller.__main__ import main
from smaller.base.errors import SmallerError
from smaller.data import splits
from smaller.data.datasets import DATASETS
from smaller.inputs import fetching, needs
from smaller.notebook.profiles import profiles
from smaller.notebook.runner import NotebookRun


@pytest.fixture(autouse=True)
def nothing_here(fresh_folders, rooms):
    rooms(data=None, models=None)


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


PROGRAM = """
import json, sys
from smaller.inputs import fetching, needs
print(json.dumps({line: eval(line) for line in sys.argv[1:]}))
"""


def test_what_is_to_fetch_is_said_with_size_licence_and_source(tmp_path):
    line = "[*fetching.lines(fetching.plan(needs.named(['mbert', 'masakhaner', 'corpus'], languages=['swa'])))]"
    published = mbert()
    with PlayedHub(published) as hub:
        ((encoder, data, derived, together),) = told_by(PROGRAM, hub, tmp_path, line)
        fetched = list(hub.fetched)
    commit = published.refs["main"][:12]
    assert encoder == f"mbert: 4 files, 0.3 MB, from {published.name} at {commit}; licence Apache-2.0"
    size = sum(file.size for file in fetching.fetch.wanted("masakhaner", ["swa"]))
    assert data.startswith(f"masakhaner: 3 files, {fetching.megabytes(size)}, from https://github.com/masakhane-io/")
    assert data.endswith("licence CC BY-NC 4.0 (non-commercial)")
    assert "cannot be fetched: its files are derived" in derived
    assert together.startswith("to fetch: 1.0 MB, and 1 of unknown size; ")
    assert fetched == [f"{published.name}/config.json"], "nothing but the configuration is fetched to tell"


def test_what_cannot_be_brought_does_not_stop_the_rest(tmp_path):
    fetch = "fetching.fetch_all(needs.named(['mbert', 'glotcc'], languages=['swa']))"
    again = "[*fetching.lines(fetching.plan(needs.named(['glotcc'], languages=['swa'])))][-1]"
    with PlayedHub(glotcc()) as hub:
        (problem,), told = told_by(PROGRAM, hub, tmp_path, fetch, again)
    assert problem.startswith("mbert: The encoder mbert is not here. There is no model google-bert/")
    assert told == "everything is here"


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
    one = needs.named(["masakhaner/swa", "masakhaner/yor", "sib200"], languages=["swa"]).data
    assert {name: list(codes) for name, codes in one.items()} == {"masakhaner": ["swa", "yor"], "sib200": ["swa"]}
    with pytest.raises(SmallerError, match="'masakhaner' has no Fon"):
        needs.named(["masakhaner/fon"])


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


def test_a_dry_run_says_how_to_bring_what_is_missing(capsys, monkeypatch):
    failed = NotebookRun("00_quickstart", "failed", error="The encoder e5-small is not here.")
    monkeypatch.setattr("smaller.report.building.run_all", lambda *_, **__: [failed])
    assert main(["study", "--profile", "mini", "--only", "00_quickstart", "--dry-run", "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)[0]["error"] == failed.error
    first, *_, last = err.splitlines()
    assert first == last and last.startswith(
        "make fetch PROFILE=mini brings what is not here: e5-small, afriberta-corpus"
    )


def test_a_name_that_is_neither_suggests_encoders_and_data_sets():
    for wrong, near in (("mbrt", "mbert"), ("masakhanr", "masakhaner"), ("glot50", "glot500")):
        with pytest.raises(SmallerError, match=f"no encoder and no data set '{wrong}'. Did you mean '{near}"):
            needs.named([wrong])


def test_a_task_stands_for_the_languages_that_it_has():
    assert splits.has_training("ud", "mlt") and not splits.has_training("ud", "slk")
    assert not splits.has_text("afriberta-corpus", "lug") and splits.has_text("glotcc", "lug")
