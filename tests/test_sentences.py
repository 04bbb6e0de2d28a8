"""Intervals over sentences: counts that give the record's own scores, drawn in pairs, and intervals that cover."""

from __future__ import annotations

import json
import math
import random

import numpy as np
import pandas as pd
import pytest
from seqeval.metrics import f1_score

from smaller import study
from smaller.analysis import sentences
from smaller.analysis.comparison import paired
from smaller.analysis.statistics import LACKING
from smaller.base.errors import SmallerError
from smaller.data.sets import EvaluationSet
from smaller.data.tasks import bio_labels
from smaller.study import results
from smaller.study.evaluation import BY_SENTENCE, Counts, class_scores, pack, span_scores, unpack
from smaller.study.recipes import dense, pruned_after
from smaller.study.steps import FineTune, Prune

LABELS = bio_labels(("PER", "ORG", "LOC"))


def tagged(seed: int, count: int = 40) -> tuple[list[list[str]], list[list[str]]]:
    """Gold and predicted tags of random sentences; half of the predictions are right."""
    draw = random.Random(seed)
    gold, guesses = (
        [draw.choices(LABELS, weights=[6] + [1] * 6, k=length) for length in lengths]
        for lengths in [[draw.randint(1, 12) for _ in range(count)]] * 2
    )
    return gold, [row if draw.random() < 0.5 else guess for row, guess in zip(gold, guesses, strict=True)]


def spans_of(seed: int, count: int = 600, *, recall: float = 0.7, kept: np.ndarray | None = None) -> np.ndarray:
    """Counts of right, predicted and gold spans in sentences that differ in how hard they are; `kept` are gold ones."""
    generator = np.random.default_rng(seed)
    gold = generator.poisson(2.0, count) if kept is None else kept
    right = generator.binomial(gold, generator.beta(4 * recall, 4 * (1 - recall), len(gold)))
    return np.stack([right, right + generator.poisson(0.5, len(gold)), gold])


def recorded(
    models: dict[str, dict], *, split: str = "test", kind: str = "spans", dataset: str = "sample"
) -> tuple[pd.DataFrame, dict]:
    """The rows of a table, and their records by identity; `models` gives places and seeds their counts."""
    rows, records = [], {}
    for name, places in models.items():
        for (language, seed), numbers in places.items():
            identity = f"{name}-{dataset}-{language}-{seed}"
            rows.append(
                {
                    "identity": identity,
                    "label": name,
                    "dataset": dataset,
                    "language": language,
                    "noise": "",
                    "split": split,
                    "seed": seed,
                }
            )
            packed = {"by_sentence": pack(kind, numbers)} if numbers is not None else {}
            records[identity] = {"scores": {f"{dataset}/{language}/{split}": packed | {"f1": 1.0}}}
    return pd.DataFrame(rows), records


@pytest.fixture
def told(keep):
    """Makes rows of a table whose records are those given."""

    def make(models: dict[str, dict], **more: str) -> pd.DataFrame:
        rows, records = recorded(models, **more)
        keep(records)
        return rows

    return make


# Counts


@pytest.mark.parametrize(("kind", "largest"), [("spans", 9), ("tokens", 300), ("classes", 6)])
def test_numbers_come_back_from_a_short_string(kind, largest):
    numbers = np.random.default_rng(1).integers(0, largest, (len(BY_SENTENCE[kind]), 600))
    packed = json.loads(json.dumps(pack(kind, numbers.tolist(), classes=("a", "b"))))
    assert (unpack(packed) == numbers).all()
    assert packed["kind"] == kind and packed["packing"] == "zlib, base64"
    real = pack("spans", spans_of(1))
    assert len(json.dumps(real)) < 1100


@pytest.mark.parametrize("fault", [{"numbers": "no base64!"}, {"numbers": "AAAA"}, {"kind": "poems"}, {"number": "x9"}])
def test_damaged_counts_are_one_clear_error(fault):
    with pytest.raises(SmallerError, match="counts by sentence of a record cannot be read"):
        Counts.of(pack("spans", spans_of(1)) | fault)


@pytest.mark.parametrize("seed", range(8))
def test_summed_counts_give_the_f1_of_the_record_and_of_seqeval_exactly(seed):
    gold, predicted = tagged(seed)
    scores = span_scores(gold, predicted, by_sentence=True)
    counts = Counts.of(scores["by_sentence"])
    assert counts.kind == "spans" and counts.numbers.shape == (3, len(gold))
    assert counts.scores()[0] == scores["f1"]
    assert scores["f1"] == pytest.approx(100 * f1_score(gold, predicted), abs=1e-12)
    each = [
        span_scores([true], [told], by_sentence=True)
        for true, told in zip(gold, predicted, strict=True)
        if set(true) != {"O"}
    ]
    with_names = counts.numbers[:, counts.numbers[2] > 0]
    assert (np.concatenate([unpack(one["by_sentence"]) for one in each], axis=1) == with_names).all()


def test_drawn_sentences_have_the_f1_that_seqeval_gives_them():
    gold, predicted = tagged(3, count=25)
    counts = Counts.of(span_scores(gold, predicted, by_sentence=True)["by_sentence"])
    weights = np.random.default_rng(2).multinomial(25, np.full(25, 1 / 25), size=20)
    for drawn, score in zip(weights, counts.scores(weights.astype(np.float32)), strict=True):
        again = [
            [row for row, times in zip(rows, drawn, strict=True) for _ in range(times)] for rows in (gold, predicted)
        ]
        assert score == pytest.approx(100 * f1_score(*again), abs=1e-9)


def test_macro_f1_and_accuracy_are_those_of_the_record():
    draw = random.Random(5)
    names = ("sports", "health", "travel", "never")
    gold = draw.choices(names[:3], k=80)
    predicted = [name if draw.random() < 0.6 else draw.choice([*names[:3], "O"]) for name in gold]
    places = [[names.index(name) if name in names else len(names) for name in row] for row in (gold, predicted)]
    counts = Counts("classes", np.array(places), names)
    assert counts.scores()[0] == pytest.approx(class_scores(gold, predicted, classes=names)["macro_f1"], abs=1e-12)
    drawn = np.zeros((1, 80), np.float32)
    drawn[0, :10] = 2
    some = class_scores(gold[:10] * 2, predicted[:10] * 2, classes=names)["macro_f1"]
    assert counts.scores(drawn)[0] == pytest.approx(some, abs=1e-12)
    tokens = Counts("tokens", np.array([[3, 4], [5, 4]]))
    assert tokens.scores()[0] == class_scores(list("aaaaaaaaa"), list("aaaaaaabb"), classes=("a", "b"))["accuracy"]


# Intervals


def test_the_mean_is_that_of_the_scores_over_seeds_and_languages(told):
    models = {
        "dense": {
            (language, seed): spans_of(10 * place + seed, kept=np.full(100 + place, 2), recall=0.6)
            for place, language in enumerate(("swa", "yor"))
            for seed in (1, 2, 3)
        }
    }
    models["dense"]["swa", 4] = spans_of(9, kept=np.full(100, 2))  # a seed without the other language does not count
    found = sentences.interval(told(models))
    scores = [Counts("spans", numbers).scores()[0] for (_, seed), numbers in models["dense"].items() if seed < 4]
    assert found.mean == pytest.approx(np.mean(scores))
    assert found.low < found.mean < found.high and found.high - found.low < 12
    assert (found.n, found.kind) == (201, "bootstrap over sentences")
    assert sentences.interval(told(models)) == found  # seeded


def test_the_same_sentences_are_drawn_for_both_models(told):
    gold = np.random.default_rng(3).poisson(2.0, 400)
    base = spans_of(1, kept=gold)
    near = base.copy()
    near[0, :12] = np.maximum(near[0, :12] - 1, 0)  # wrong in a few sentences more
    rows = told({"base": {("swa", 1): base}, "near": {("swa", 1): near}})
    base, near = (rows[rows["label"] == name] for name in ("base", "near"))
    same, loss = sentences.paired(base, base), sentences.paired(near, base)
    assert (same.mean, same.low, same.high, same.n) == (0, 0, 0, 400)
    assert loss.low < loss.mean < loss.high < 0
    assert loss.high - loss.low < 0.5 * (sentences.interval(base).high - sentences.interval(base).low)


def test_groups_are_compared_each_with_its_own_or_with_one_for_all(told):
    gold = np.full(90, 2)
    rows = told({name: {("swa", 1): spans_of(seed, kept=gold)} for seed, name in enumerate(("dense", "a", "b"))})
    rows = rows.assign(order=rows["label"].where(rows["label"] == "dense", "after"), f1=1.0, missing=math.nan)
    dense, small = rows[rows["label"] == "dense"], rows[rows["label"] != "dense"]
    by = ["label", "order", "missing"]
    found = paired(small, dense, by=by, for_all=by, over_sentences=True).set_index("label")["over sentences"]
    assert list(found.index) == ["a", "b"], "a missing name is one too"
    assert found["b"] == sentences.paired(rows[rows["label"] == "b"], dense) and found["b"].known
    assert {one.n for one in paired(small, dense, by=["label"], over_sentences=True)["over sentences"]} == {0}
    assert paired(small, small, by=["label"], over_sentences=True)["over sentences"][0].mean == 0


def test_both_intervals_are_of_the_same_pairs(told):
    """Once, the interval over sentences had the rows that are matched with nothing, too."""
    gold = np.full(90, 2)
    rows = told({name: {("swa", 1): spans_of(seed, kept=gold)} for seed, name in enumerate(("50", "90", "dense"))})
    rows = rows.assign(sparsity=rows["label"], f1=1.0)
    both = pd.concat([rows[rows["label"] == "dense"].assign(sparsity="50"), rows[:0]])
    found = paired(rows[:2], both, match=["sparsity"], over_sentences=True).iloc[0]
    assert found["over sentences"] == sentences.paired(rows[:1], both) != sentences.paired(rows[:2], both)
    assert found["comparison"].unmatched == ("sparsity 90, language swa",)


def test_both_intervals_have_one_mean_where_languages_differ_in_their_test_sets(told):
    """One mean was over languages, the other over test sets: each could lie outside the other's interval."""
    gold, places = np.full(90, 2), [("news", "swa"), ("wiki", "swa"), ("tweets", "swa"), ("news", "hau")]
    rows = pd.concat(
        told({name: {(language, seed): spans_of(100 * place + 10 * number + seed, kept=gold, recall=recall)}}, **of)
        for place, (dataset, language) in enumerate(places)
        for number, (name, recall) in enumerate({"dense": 0.8, "small": 0.4 if language == "hau" else 0.8}.items())
        for seed in (1, 2)
        for of in [{"dataset": dataset}]
    )
    read = [
        results.of_identity(row.identity)["scores"][f"{row.dataset}/{row.language}/test"] for row in rows.itertuples()
    ]
    rows["f1"] = [Counts.of(scores["by_sentence"]).scores()[0] for scores in read]
    dense = rows["label"] == "dense"
    found = paired(rows[~dense], rows[dense], match=["dataset"], over_sentences=True).iloc[0]
    assert (
        found["comparison"].interval.mean == pytest.approx(found["over sentences"].mean)
        and found["over sentences"].n == 360
    )
    # A model that is compared with several counts as often.
    both = pd.concat([rows[~dense].assign(at=at) for at in ("50", "90")])
    both = both[(both["at"] == "50") | (both["dataset"] == "news")]
    again = paired(both, rows[dense], match=["dataset", "at"], for_all=["at"], over_sentences=True).iloc[0]
    assert again["comparison"].interval.mean == pytest.approx(again["over sentences"].mean)
    assert again["over sentences"].mean != pytest.approx(found["over sentences"].mean)


def test_only_seeds_and_languages_of_both_models_are_paired(told):
    gold = {"swa": np.full(80, 2), "yor": np.full(90, 1)}
    models = {
        name: {(language, seed): spans_of(seed + shift, kept=gold[language]) for language, seed in places}
        for shift, (name, places) in enumerate(
            {
                "first": [("swa", 1), ("swa", 2), ("yor", 1)],
                "second": [("swa", 1), ("swa", 2), ("swa", 3)],
            }.items()
        )
    }
    rows = told(models)
    found = sentences.paired(*(rows[rows["label"] == name] for name in models))
    means = [np.mean([Counts("spans", own["swa", seed]).scores()[0] for seed in (1, 2)]) for own in models.values()]
    assert found.mean == pytest.approx(means[0] - means[1]) and found.n == 80
    assert sentences.paired(rows[rows["language"] == "yor"], rows[rows["label"] == "second"]).n == 0


def test_records_that_lack_counts_have_no_interval_and_say_so(told):
    old = told({"new": {("swa", 1): spans_of(1)}, "old": {("swa", 1): None}})
    for found in (sentences.interval(old), sentences.paired(*(old[old["label"] == name] for name in ("new", "old")))):
        assert found.n == 0 and math.isnan(found.mean) and not found.known
        assert found.kind == LACKING
    assert sentences.interval(old[:1]).n == 600
    assert sentences.interval(old[:0]).kind == "bootstrap over sentences" and sentences.interval(old[:0]).n == 0
    gone = old[:1].assign(identity="gone")  # a table whose records are elsewhere
    assert sentences.interval(gone).kind == LACKING


def test_models_of_different_sentences_are_not_compared(told):
    rows = told({"a": {("swa", 1): spans_of(1)}, "b": {("swa", 1): spans_of(2)}})
    with pytest.raises(SmallerError, match="sample/swa/test were scored on different sentences"):
        sentences.paired(rows[:1], rows[1:])


def test_intervals_cover_the_scores_of_all_sentences_that_there_are(told):
    """Test sets of 300 sentences are drawn from a large number of them, whose own score is the truth."""
    everything = spans_of(0, count=60_000, recall=0.75)
    weaker = spans_of(1, recall=0.7, kept=everything[2])
    truth = {name: Counts("spans", numbers).scores()[0] for name, numbers in (("a", everything), ("b", weaker))}
    generator = np.random.default_rng(4)
    inside = {"interval": 0, "paired": 0}
    for _ in range(400):
        drawn = generator.integers(60_000, size=300)
        rows = told({"a": {("swa", 1): everything[:, drawn]}, "b": {("swa", 1): weaker[:, drawn]}})
        found, difference = sentences.interval(rows[:1]), sentences.paired(rows[:1], rows[1:])
        inside["interval"] += found.low <= truth["a"] <= found.high
        inside["paired"] += difference.low <= truth["a"] - truth["b"] <= difference.high
    assert all(0.92 <= count / 400 <= 0.98 for count in inside.values()), inside


# In a study


def test_a_study_keeps_counts_at_home_and_away_and_reads_records_without(tiny_folder, few_sentences, fresh_folders):
    recipes = [dense(tiny_folder, FineTune("sample", "swa", epochs=1, seed=seed)) for seed in (1, 2)]
    recipes += [pruned_after(tiny_folder, Prune(0.5), recipe.fine_tuning) for recipe in recipes]
    away = [EvaluationSet("sample", "yor"), EvaluationSet("sample", "swa", noise="case", rate=1.0, seed=1)]
    table = study.run(recipes, sets=away, workers=1, say=lambda line: None)
    records = {record["identity"]: record for record in results.read_all()}
    kept = {key for record in records.values() for key, scores in record["scores"].items() if "by_sentence" in scores}
    assert kept == {"sample/swa/dev", "sample/swa/test", "sample/yor/test"} and tuple(table.columns) == results.COLUMNS
    home = table[(table["language"] == "swa") & (table["noise"] == "")]
    for row in home.itertuples():
        counts = Counts.of(records[row.identity]["scores"][f"sample/swa/{row.split}"]["by_sentence"])
        assert counts.scores()[0] == row.f1 and counts.numbers.shape == (3, row.sentences)
        assert counts.numbers[2].sum() == row.support
    uncompressed, pruned = (table[table["order"] == order] for order in ("dense", "after"))
    found = sentences.paired(pruned[pruned["language"] == "swa"], uncompressed[uncompressed["language"] == "swa"])
    means = [
        rows.loc[(rows["split"] == "test") & rows.index.isin(home.index), "f1"].mean()
        for rows in (pruned, uncompressed)
    ]
    assert found.n == 24 and found.mean == pytest.approx(means[0] - means[1])
    test = home[home["split"] == "test"]
    both = paired(test[test["order"] == "after"], test[test["order"] == "dense"], over_sentences=True).iloc[0]
    assert both["over sentences"] == found and both["comparison"].interval.mean == pytest.approx(found.mean)
    assert sentences.interval(table).n == 2 * sentences.interval(home).n == 48  # those in Yoruba too

    for record in records.values():  # as an earlier version wrote them
        for scores in record["scores"].values():
            scores.pop("by_sentence", None)
        results.write(record)
    assert study.pending(recipes, away) == []
    pd.testing.assert_frame_equal(study.table(recipes, sets=away), table)
    assert sentences.interval(home).kind == LACKING


def test_classes_in_another_order_are_the_same_texts():
    one = Counts("classes", np.array([[0, 1, 1], [0, 1, 0]]), ("sport", "health"))
    same = Counts("classes", np.array([[1, 0, 0], [0, 0, 0]]), ("health", "sport"))
    other = Counts("classes", np.array([[0, 0, 0], [0, 0, 0]]), ("health", "sport"))
    assert one.truth == same.truth != other.truth


def test_draws_are_the_same_in_each_process(told):
    rows = told({"one": {("swa", 1): spans_of(1)}})
    first = sentences.interval(rows)
    sentences._drawn.cache_clear()
    sentences._weights.cache_clear()
    assert sentences.interval(rows) == first and first.known
