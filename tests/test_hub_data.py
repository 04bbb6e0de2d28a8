"""Data sets of the hub, from a played one: by name, at a revision, offline afterwards, and what can go wrong.

The hub's client reads its address when it is imported, so each scene is played in a process of its own.
"""

from __future__ import annotations

import functools

import pytest
from played_hub import (
    ENTITIES,
    PARQUET,
    Fault,
    PlayedHub,
    afriberta_corpus,
    errors,
    glotcc,
    masakhaner2_hub,
    parquet,
    plain_entities,
    sentences,
    sentiment,
    sib200,
    tagged,
    told_by,
    unusable,
    wikiann,
)

from smaller.base.errors import SmallerError
from smaller.data.datasets import DATASETS, in_key, name_and_rest, place_of
from smaller.data.hub import Name, _by_folder, _patterns, parse

PROGRAM = """
import json, sys, time, traceback
time.sleep = lambda seconds: None  # the clients wait between their attempts

def told(line):
    try:
        return eval(line, scope)
    except scope["SmallerError"] as problem:
        return {"error": str(problem)}

scope = {}
exec("import datasets; from smaller import data; from smaller.data import fetch, hub, splits; "
     "from smaller.data.datasets import dataset; from smaller.data.sets import EvaluationSet, set_of; "
     "from smaller.inputs import fetching, needs; "
     "from smaller.base.errors import SmallerError; from smaller.study.steps import FineTune; import resource", scope)
print(json.dumps({line: told(line) for line in sys.argv[1:]}))
"""


play = functools.partial(told_by, PROGRAM)


def only_rows(repository, *, labels):
    """The repository with other labels in its training split."""
    repository.files["data/train-00000-of-00001.parquet"] = parquet(
        {"tokens": [["a", "b"]] * 20, "ner_tags": [labels] * 20}
    )
    return repository


CORPUS = {"swahili": ["Habari ya asubuhi.", "", "  Karibu sana.  "], "hausa": ["Sannu."]}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Everything that goes well, in one process with a network and the next one without."""
    folder = tmp_path_factory.mktemp("well")
    pinned = wikiann(("sw", "mt"), 12)
    pinned.commits[DATASETS["wikiann"].source("swa").commit] = {
        f"sw/{split}/0000.parquet": parquet(tagged(f"sw {split}", 12, ENTITIES[:7]), {"ner_tags": ENTITIES[:7]})
        for split in ("train", "validation", "test")
    }
    glot = glotcc(("swh-Latn",), 5)
    named = plain_entities("someone/entities", 12)
    lines = [
        'str(fetch.fetch(["afriberta-corpus", "glotcc", "wikiann", "sentiment"], languages=["swa"])[0].path)',
        'list(splits.text("afriberta-corpus", "swa"))',
        'list(splits.text("glotcc", "swa"))',
        'splits.labels("wikiann")',
        '[len(splits.sentences("wikiann", "swa", split)) for split in ("train", "dev", "test")]',
        'sorted({each.label for each in splits.sentences("sentiment", "swa", "test")})',
        'splits.fingerprint("wikiann", "swa")',
        'hub.fetch("someone/entities")',
        'hub.fetch("masakhane/masakhaner2:swa")',
        'hub.fetch("Davlan/sib200:swh_Latn", language="swa")',
        'hub.fetch("unimelb-nlp/wikiann:mt@7a2c9012c2b36ff541379702e5e39de8b650e4b5")',
        'hub.fetch("castorini/afriberta-corpus:hausa@refs/convert/parquet")',
    ]
    names = [
        "someone/entities",
        "masakhane/masakhaner2:swa",
        "Davlan/sib200:swh_Latn",
        "unimelb-nlp/wikiann:mt@7a2c9012c2b36ff541379702e5e39de8b650e4b5",
    ]
    again = [
        *lines[1:7],
        *(f"{{split: len(part) for split, part in data.load({name!r}, 'swa').items()}}" for name in names),
        "splits.task('Davlan/sib200:swh_Latn').name",
        "splits.entity_types('masakhane/masakhaner2:swa')",
        'list(splits.text("castorini/afriberta-corpus:hausa@refs/convert/parquet", "hau"))',
        "FineTune('masakhane/masakhaner2:swa', 'swa').inputs()",
        "EvaluationSet('masakhane/masakhaner2:swa', 'swa').key",
        "set_of('masakhane/masakhaner2:swa/swa/test') == EvaluationSet('masakhane/masakhaner2:swa', 'swa')",
        "set_of('masakhane/masakhaner2:swa/swa/test/case/0.5/7').rate",
        "dataset('someone/entities').licence",
    ]
    repositories = [
        pinned,
        glot,
        named,
        sentiment("swahili", 12),
        masakhaner2_hub(("hau", "swa"), 12),
        sib200(("swh_Latn",)),
        afriberta_corpus(texts=CORPUS),
    ]
    with PlayedHub(*repositories, faults=[Fault("*/sw/train/0000.parquet", status=429, wait=0, times=1)]) as hub:
        online = play(hub, folder, *lines)
        fetched, before = list(hub.fetched), len(hub.requests)
        without = play(hub, folder, *again, offline=True)
        asked = len(hub.requests) - before
    return {
        "online": dict(zip(lines, online, strict=True)),
        "fetched": fetched,
        "asked": asked,
        "offline": dict(zip(again, without, strict=True)),
        "lines": lines,
        "again": again,
    }


def test_described_data_sets_come_from_their_files_at_their_revisions(told):
    online = [told["online"][line] for line in told["lines"]]
    assert online[0].endswith("/swahili/train/0000.parquet")
    assert online[1] == ["Habari ya asubuhi.", "Karibu sana."]
    assert online[2] == sentences("swh-Latn", 5)
    assert online[3] == ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"]
    assert online[4] == [12, 12, 12] and online[5] == ["negative", "positive"]


def test_no_more_than_the_named_files_is_fetched(told):
    corpus = [path for path in told["fetched"] if path.startswith("castorini")]
    assert corpus == ["castorini/afriberta-corpus/swahili/train/0000.parquet", *corpus[1:]]
    assert {path.split("/")[2] for path in corpus} == {"swahili", "hausa"}
    assert not any(path.endswith((".py", ".duckdb", ".zip")) for path in told["fetched"])


def test_any_data_set_comes_by_its_name_at_a_full_commit(told):
    commits = [told["online"][line] for line in told["lines"][7:]]
    assert all(len(commit) == 40 for commit in commits)
    assert commits[1].startswith("a11b3e2"), "a data set that is a script is read from the hub's copy in Parquet"
    assert commits[3] == "7a2c9012c2b36ff541379702e5e39de8b650e4b5"


def test_all_of_it_is_there_without_a_network(told):
    offline = told["offline"]
    assert [offline[line] for line in told["lines"][1:7]] == [told["online"][line] for line in told["lines"][1:7]]
    sizes = [offline[line] for line in told["again"][6:10]]
    assert sizes[0] == sizes[1] == {"train": 12, "dev": 12, "test": 12}
    assert sizes[2] == {"train": 14, "dev": 14, "test": 14} and sizes[3] == {"train": 11, "dev": 11, "test": 11}
    assert told["asked"] == 0


def test_task_classes_and_keys_follow_from_the_columns(told):
    task, classes, lines, inputs, key, same, rate, licence = [told["offline"][line] for line in told["again"][10:]]
    assert (task, classes, lines) == ("topics", ["PER", "ORG", "LOC", "DATE"], ["Sannu."])
    assert list(inputs) == ["masakhane/masakhaner2:swa/swa"] and len(inputs["masakhane/masakhaner2:swa/swa"]) == 64
    assert key == "masakhane/masakhaner2:swa/swa/test" and same and (rate, licence) == (0.5, "mit")


def test_what_is_not_there_or_not_understood_is_one_sentence(tmp_path):
    private, gated = plain_entities("someone/private"), plain_entities("someone/gated")
    private.private, gated.gated = True, True
    numbers = plain_entities("someone/numbers", 20, named=False)
    mixed = only_rows(plain_entities("someone/mixed", 20), labels=["B-PER", "PERSON"])
    no_train = plain_entities("someone/no-train", 20)
    del no_train.files["data/train-00000-of-00001.parquet"]
    vanished = plain_entities("someone/vanished", 20)
    scenes = {
        "nobody/nothing": "There is no dataset nobody/nothing on the hub, or it is private",
        "someone/private": "There is no dataset someone/private on the hub, or it is private",
        "someone/gated": "its owner lets in only who asked",
        "someone/measurements": "the columns are height, weight; expected a list of words",
        "someone/numbers": "the labels in the column 'ner_tags' are of type int64 and have no names",
        "someone/mixed": "found the tag 'PERSON'",
        "someone/no-train": "has no training split; it has dev, test",
        "someone/vanished@" + 40 * "a": "has no revision " + 40 * "a",
        "someone/vanished@abc1234": "the hub takes a commit by all of its 40 digits, and 'abc1234' has 7",
        "unimelb-nlp/wikiann": "has no tables of one kind; its folders are mt, sw",
        "unimelb-nlp/wikiann:sv": "no tables of the configuration 'sv'",
        "castorini/afriberta-corpus": "has no tables of one kind",
        "someone/a b": "is named owner/name:config@revision",
    }
    repositories = [private, gated, unusable(), numbers, mixed, no_train, vanished, wikiann(), afriberta_corpus()]
    with PlayedHub(*repositories) as hub:
        found = errors(play(hub, tmp_path, *(f"hub.fetch({name!r})" for name in scenes)))
        other = play(hub, tmp_path, "dataset('someone/never-fetched')", "fetch.fetch('masakhanr')")
    for (name, message), text in zip(scenes.items(), found, strict=True):
        assert message in text, f"{name}: {text}"
    assert "Fetch it where there is a network: python -m smaller fetch someone/never-fetched" in errors(other)[0]
    assert not list((tmp_path / "cache").rglob("about.json")), "nothing half done"


def test_a_bad_line_a_bad_disk_and_no_line_at_all(tmp_path):
    name = "someone/entities"
    line = f"hub.fetch({name!r})"
    with PlayedHub(plain_entities(name, 12)) as hub:
        hub.faults = [Fault("*/train*", cut=50), Fault("*/train*", cut=50)]
        assert isinstance(play(hub, tmp_path / "cut", line)[0], str), "what was cut off is resumed"
        hub.faults = [Fault("*/cdn/*train*", change=lambda content: b"x" * len(content), times=-1)]
        (text,) = errors(play(hub, tmp_path / "changed", line))
        assert "SHA-256 of what arrived" in text or "could not be fetched" in text
        hub.faults = [Fault("*/train*", status=429, wait=0, times=-1)]
        assert "asked too often (429)" in errors(play(hub, tmp_path / "often", line))[0]
        hub.faults = []
        small = "resource.setrlimit(resource.RLIMIT_FSIZE, (700, 700)) or hub.fetch('someone/entities')"
        (text,) = errors(play(hub, tmp_path / "full", small))
        assert "could not be kept" in text or "disk is full" in text
        assert not list((tmp_path / "full" / "cache").rglob("about.json"))
        assert isinstance(play(hub, tmp_path / "full", line)[0], str), "with room it goes on"
        offline = errors(play(hub, tmp_path / "never", line, offline=True))
        assert "HF_HUB_OFFLINE forbids asking the hub" in offline[0]
    assert "does not answer" in errors(play(hub, tmp_path / "gone", line))[0]


CARDS = {
    "one pattern": "train.csv",
    "by split": {"train": "train.csv", "test": ["test.csv"]},
    "rows": [{"split": "train", "path": "train.csv"}],
    "a row without a split": [{"path": "train.csv"}],
}


@pytest.mark.parametrize("form", CARDS)
def test_a_card_names_its_files_in_the_forms_that_cards_have(form):
    found = _patterns(CARDS[form])
    assert found["train"] == ["train.csv"] and set(found) <= {"train", "test"}


@pytest.mark.parametrize(
    ("files", "splits"),
    [
        (
            [
                "data/train-00000-of-00002.parquet",
                "data/train-00001-of-00002.parquet",
                "data/test-00000-of-00001.parquet",
            ],
            {"train": 2, "test": 1},
        ),
        (["train_hau.csv", "train_swa.csv"], {}),
        (["train.csv", "data/train.csv"], {}),
        (["swa/train/0000.parquet", "hau/train/0000.parquet"], {}),
        (["train.csv", "dev.csv", "train.jsonl"], {}),
    ],
)
def test_files_of_several_places_are_never_joined(files, splits):
    found = _by_folder(Name("a/b"), dict.fromkeys(files, 1))
    assert {split: len(paths) for split, paths in found.items()} == splits


def test_a_name_with_slashes_in_its_revision_is_one_part_of_every_key():
    name = "a/b:c/d@refs/pr/1"
    key = f"{in_key(name)}/swa/test"
    assert name_and_rest(key) == ("a/b:c%2Fd@refs%2Fpr%2F1", ["swa", "test"])
    assert parse(name_and_rest(key)[0]) == parse(name) == Name("a/b", "c/d", "refs/pr/1")
    assert place_of(name) == place_of(in_key(name)) != place_of("a--b/c")
    assert name_and_rest("own-data/x/swa/test") == ("own-data/x", ["swa", "test"])
    for wrong in ("a--b/c", "a/..b", "a/b.git"):
        with pytest.raises(SmallerError, match="is no name of the hub"):
            parse(wrong)


def test_what_is_damaged_in_the_cache_of_the_hub_is_fetched_again(tmp_path):
    lines = [
        'fetch.fetch(["afriberta-corpus"], languages=["hau"])[0].path.resolve().write_bytes(b"PAR1") and 1',
        'fetch.fetch(["afriberta-corpus"], languages=["hau"])[0].path.stat().st_size > 100',
        'list(splits.text("afriberta-corpus", "hau"))',
    ]
    with PlayedHub(afriberta_corpus(texts=CORPUS), plain_entities()) as hub:
        assert play(hub, tmp_path, *lines) == [1, True, ["Sannu."]]
        (said,) = play(hub, tmp_path, "[str(part) for part in fetching.plan(needs.named(['someone/entities:data']))]")
    assert said[0].startswith("someone/entities:data: 3 files, ") and said[0].endswith("; licence mit")


def test_names_have_parts():
    assert parse("a/b") == Name("a/b")
    assert parse("a/b:c@refs/convert/parquet") == Name("a/b", "c", PARQUET)
    with pytest.raises(SmallerError, match="all of its 40 digits"):
        parse("a/b@0123456")
