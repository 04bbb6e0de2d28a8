"""The dense encoders and the first look at pruning: findings as values, with both sources of chance."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from smaller.analysis import figures, sentences
from smaller.analysis.comparison import AGREES, DIFFERS, NOT_DECIDED, NOT_MEASURED, between
from smaller.analysis.findings import baselines, claims
from smaller.analysis.findings.finding import ANSWERED
from smaller.analysis.sentences import Counts
from smaller.analysis.statistics import LACKING, t_interval
from smaller.data.published import published
from smaller.notebook.display import in_numbers
from smaller.study.evaluation import pack

LOSSES = {"dense": 0.0, "pruned 50%": 0.0, "pruned 90%": 0.4}
SENTENCES = {"swa": 300, "yor": 200}
RECALLS = {"small": 0.7, "base": 0.8}
OVER_SEEDS, OVER_SENTENCES = "minus plain, over seeds", "minus plain, over sentences"


def counts_of(language: str, seed: int, *, recall: float) -> np.ndarray:
    """Counts of a test set that is the same for all models, of a model that finds this share of the spans."""
    generator = np.random.default_rng(len(language) + ord(language[0]))
    gold = generator.poisson(2.0, SENTENCES[language])
    luck = np.random.default_rng([seed, ord(language[0])]).random((9, len(gold)))
    right = (luck < recall).cumsum(axis=0)[np.minimum(gold, 9) - 1, np.arange(len(gold))] * (gold > 0)
    return np.stack([right, gold, gold])


@pytest.fixture
def study(keep):
    """Makes the table of a study whose records hold counts by sentence; `lacking` records are older than those."""

    def make(
        *,
        encoders=("small",),
        languages=("swa", "yor"),
        seeds=(1, 2, 3),
        labels=("dense",),
        lacking=(),
        recalls=RECALLS,
        dataset="masakhaner",
    ):
        rows, records = [], {}
        for encoder in encoders:
            for language in languages:
                for seed in seeds:
                    for label in labels:
                        recall = recalls[encoder] - LOSSES[label]
                        identity = f"{dataset}-{encoder}-{language}-{seed}-{label}-{recall}"
                        counts = counts_of(language, seed, recall=recall - 0.1 * (language == "yor"))
                        kept = {} if encoder in lacking else {"by_sentence": pack("spans", counts)}
                        records[identity] = {"scores": {}}
                        for split in ("dev", "test"):
                            records[identity]["scores"][f"{dataset}/{language}/{split}"] = kept
                            rows.append(
                                {
                                    "identity": identity,
                                    "group": label,
                                    "encoder": encoder,
                                    "dataset": dataset,
                                    "language": language,
                                    "split": split,
                                    "noise": "",
                                    "seed": seed,
                                    "order": "dense" if label == "dense" else "after",
                                    "method": "",
                                    "scope": "",
                                    "include": "",
                                    "sparsity": LOSSES[label],
                                    "f1": Counts("spans", counts).scores()[0],
                                    "score": Counts("spans", counts).scores()[0],
                                    "dense_bytes": 5e6,
                                    "compressed_bytes": 4e6 - 5e6 * LOSSES[label],
                                    "achieved_sparsity": LOSSES[label],
                                    "parameters": 1_000_000,
                                }
                            )
        keep(records)
        return pd.DataFrame(rows)

    return make


def test_dense_f1_has_an_interval_over_seeds_and_one_over_sentences(study):
    table = study()
    found = baselines.dense(table)
    test = table[table["split"] == "test"]
    expected = t_interval(test.groupby("seed")["f1"].mean())
    assert (found.quantity.mean, found.quantity.low) == pytest.approx((expected.mean, expected.low))
    assert found.quantity.n == 3
    whole = found.values["means"].loc["small"]
    assert whole[baselines.F1_OVER_SENTENCES] == sentences.interval(test)
    assert whole[baselines.F1_OVER_SENTENCES].n == 500 and whole[baselines.F1_OVER_SENTENCES].known
    assert whole[baselines.F1_OVER_SENTENCES].mean == pytest.approx(found.quantity.mean)
    assert found.verdict == ANSWERED
    both = in_numbers(baselines.by_language(table))
    assert list(both["language"]) == ["swa", "yor", "average"]
    assert {"F1 over seeds, low", "F1 over sentences, low", "F1 over sentences, n"} <= set(both)
    assert both["F1 over sentences, n"].tolist() == [300, 200, 500]


def test_the_best_encoder_is_chosen_on_dev_and_told_on_test(study):
    table = study(encoders=("small", "base"))
    dev = table["split"] == "dev"
    assert baselines.dense(table).values["best"] == "base"
    table.loc[dev & (table["encoder"] == "small"), "f1"] = 99.0
    found = baselines.dense(table)
    test = table[~dev & (table["encoder"] == "small")]
    assert found.values["best"] == "small" and found.quantity.mean == pytest.approx(test["f1"].mean())


def test_one_seed_and_records_without_counts_leave_an_interval_out(study):
    one = baselines.dense(study(seeds=(1,)))
    assert not one.quantity.known and one.verdict == NOT_DECIDED
    assert one.values["means"].loc["small"][baselines.F1_OVER_SENTENCES].known
    table = study(lacking=("small",))
    old = baselines.dense(table)
    drawn = old.values["means"].loc["small"][baselines.F1_OVER_SENTENCES]
    assert old.quantity.known and (drawn.n, drawn.kind) == (0, LACKING)
    assert in_numbers(baselines.by_language(table))["F1 over sentences, n"].tolist() == [0, 0, 0]


def test_what_was_not_measured_is_said_so(study):
    table = study(labels=("dense", "pruned 50%"))
    assert baselines.dense(table[table["order"] == "after"]).verdict == NOT_MEASURED
    assert baselines.closest(table[table["order"] == "dense"]).verdict == NOT_MEASURED
    apart = table[((table["language"] == "swa") & (table["seed"] == 1)) | (table["seed"] == 2)]
    apart = apart[~((apart["language"] == "swa") & (apart["seed"] == 2))]
    assert baselines.dense(apart).verdict == NOT_MEASURED  # no seed has both languages


def test_published_numbers_stand_beside_ours(study):
    printed = published(table="NER 1.0 baselines", row=["AfriBERTa small", "AfriBERTa base"])
    found = baselines.by_language(study(), printed).set_index("language")
    theirs = found.loc[["swa", "yor", "average"], "AfriBERTa base, published"].tolist()
    assert theirs == pytest.approx([88.0, 79.36, 83.68]), "averages are of the languages that are shown"
    of_one = baselines.by_language(study(languages=("swa",)), printed)
    assert of_one["AfriBERTa base, published"].tolist() == [88.0]


def test_the_closest_pruned_model_is_chosen_on_dev_and_compared_in_pairs(study):
    table = study(labels=tuple(LOSSES))
    found = baselines.closest(table)
    assert found.values["closest"] == "pruned 50%" and found.quantity.verdict == AGREES
    assert found.quantity.interval.mean == pytest.approx(0, abs=1e-9)
    assert found.values["over sentences"].high == found.values["over sentences"].low == 0
    each = found.values["table"]["minus dense, over seeds"]
    assert each["pruned 90%"].verdict == DIFFERS and each["pruned 90%"].sign == -1 and each["pruned 90%"].of == 2
    assert pd.isna(each["dense"]) and found.values["table"].loc["pruned 90%", "minus dense, over sentences"].high < -20
    # Chosen on dev, told on test.
    table.loc[(table["split"] == "dev") & (table["group"] == "pruned 90%"), "f1"] = 99.0
    other = baselines.closest(table)
    assert other.values["closest"] == "pruned 90%" and other.quantity.sign == -1


def test_bytes_that_ship_stand_beside_those_of_weights_where_they_are_known(study):
    table = study(labels=("dense", "pruned 90%"))
    found = baselines.ways(table.assign(shipped_bytes=table["dense_bytes"] + 3e5)).set_index("model")
    assert found.loc["dense", ["ships (MB)", "weights (MB)", "compressed (MB)"]].tolist() == pytest.approx([5.3, 5, 4])
    assert found.loc["pruned 90%", "compressed (MB)"] < 4 and found.loc["pruned 90%", "zero share"] > 0
    assert "ships (MB)" not in baselines.ways(table)


def test_with_one_seed_nothing_is_decided(study):
    found = baselines.closest(study(labels=tuple(LOSSES), seeds=(1,)))
    assert found.verdict == NOT_DECIDED and math.isnan(found.quantity.p)


def without(study, recall: float, **about) -> pd.DataFrame:
    """What `smaller.study.plain.run` gives: one model for each language, with no seed of its own."""
    rows = study(encoders=("crf",), seeds=(0,), recalls={"crf": recall}, **about)
    return rows.assign(technique="plain", order="")


def means_by_language(rows: pd.DataFrame) -> float:
    return rows[rows["split"] == "test"].groupby("language")["score"].mean().mean()


@pytest.mark.parametrize(("recall", "sign"), [(0.5, 1), (0.9, -1)])
def test_an_encoder_is_ahead_of_a_plain_model_or_behind_it(study, recall, sign):
    table, plain = study(), without(study, recall)
    row = baselines.against_plain(table, plain).iloc[0]
    difference = means_by_language(table) - means_by_language(plain)
    assert (row["data set"], row["encoder"], row["plain model"]) == ("masakhaner", "small", "crf")
    assert row["score"].mean == pytest.approx(means_by_language(table)) and row["score"].n == 3
    assert row["its score"] == pytest.approx(means_by_language(plain))
    assert row[OVER_SEEDS].interval.mean == pytest.approx(difference)
    assert (row[OVER_SEEDS].sign, row[OVER_SEEDS].interval.n, row[OVER_SEEDS].languages) == (sign, 3, ("swa", "yor"))
    drawn = row[OVER_SENTENCES]
    assert drawn.mean == pytest.approx(difference) and drawn.n == 500 and sign * drawn.low > 0 < sign * drawn.high
    found = baselines.ahead(table, plain)
    assert found.quantity == row[OVER_SEEDS] and found.verdict == ANSWERED
    # The caution stands where the encoder is not ahead, and only there.
    assert bool(found.text) == (sign != 1)


def test_encoders_are_chosen_among_by_what_all_of_them_have(study):
    """One with an easy language alone was the best of two, though behind where both were measured."""
    table = pd.concat([study(languages=("swa",)), study(encoders=("base",))])
    assert baselines.dense(table).values["best"] == "base"
    apart = pd.concat([study(languages=("yor",)), study(encoders=("base",), languages=("swa",))])
    told = baselines.dense(apart)
    assert told.values["best"] == "small" and "best of" not in told.headline, "nothing tells which is better"


def test_an_encoder_that_is_behind_in_one_language_may_claim_nothing(study):
    """A lead on average opened the gate for every language."""
    table = study()
    plain = without(study, 0.5)
    plain["score"] += plain["language"].map({"swa": -10.0, "yor": 28.0})
    found = baselines.ahead(table, plain)
    assert found.quantity.sign == 1 and found.values["behind"] == ["yor"] and not claims.may_claim(found)
    assert claims.may_claim(baselines.ahead(table, without(study, 0.5)))


def test_one_seed_does_not_show_an_encoder_to_be_ahead(study):
    found = baselines.ahead(study(seeds=(1,)), without(study, 0.6))
    assert found.verdict == NOT_DECIDED and found.quantity.sign == 0 and found.quantity.interval.mean > 5
    assert found.text


def test_the_gate_asks_for_every_lead(study, monkeypatch):
    """One with a higher mean and no decision stood behind a lead that was shown."""
    table = study(encoders=("base", "small"))
    both = {"base": between([2.0, 1.8, 2.2]), "small": between([30.0, 3.0, -24.0])}
    found = baselines.against_plain(table, without(study, 0.5))
    found[OVER_SEEDS] = [replace(both[name], corrected=both[name].p) for name in found["encoder"]]
    monkeypatch.setattr(baselines, "against_plain", lambda *_: found)
    told = baselines.ahead(table, without(study, 0.5))
    assert told.quantity.verdict == NOT_DECIDED and not claims.may_claim(told) and claims.refusal(told)


def test_only_where_an_encoder_is_behind_the_plain_model_is_the_one_to_ship(study):
    """It was, too, where one seed decides nothing and the encoder was 4.8 points ahead over the sentences."""
    ship, nothing = "is the one to ship", "nothing is claimed"
    undecided = baselines.ahead(study(seeds=(1,)), without(study, 0.6))
    assert undecided.quantity.sign == 0 and nothing in undecided.text and ship not in undecided.text
    behind = baselines.ahead(study(), without(study, 0.9))
    assert behind.quantity.sign == -1 and nothing in behind.text and ship in behind.text
    assert baselines.ahead(study(), without(study, 0.5)).text == ""


def test_the_encoder_with_the_least_lead_is_told_first(study):
    table = study(encoders=("base", "small"))
    found = baselines.ahead(table, without(study, 0.76))
    each = baselines.against_plain(table, without(study, 0.76)).set_index("encoder")[OVER_SEEDS]
    assert (each["base"].sign, each["small"].sign) == (1, -1) and each["base"].of == 2
    assert found.quantity == each["small"] != each["base"]


def test_each_data_set_has_its_own_plain_model(study):
    """Formerly a language's plain models of all data sets were averaged."""
    places = [("masakhaner", 0.5), ("masakhaner2", 0.9)]
    table = pd.concat([study(dataset=name) for name, _ in places])
    plain = pd.concat([without(study, recall, dataset=name) for name, recall in places])
    each = baselines.against_plain(table, plain).set_index("data set")
    assert each[OVER_SEEDS].map(lambda one: one.sign).to_dict() == {"masakhaner": 1, "masakhaner2": -1}
    for name, _ in places:
        own = (rows[rows["dataset"] == name] for rows in (table, plain))
        expected = [means_by_language(rows) for rows in own]
        assert each.loc[name, OVER_SEEDS].interval.mean == pytest.approx(expected[0] - expected[1])


def test_languages_count_where_both_models_have_them(study):
    table = study()
    plain = without(study, 0.5, languages=("swa",))
    row = baselines.against_plain(table, plain).iloc[0]
    assert row["score"].mean == pytest.approx(means_by_language(table[table["language"] == "swa"]))
    assert row[OVER_SEEDS].languages == ("swa",) and row[OVER_SENTENCES].n == 300
    assert row[OVER_SEEDS].lacking == ("yor",) and row[OVER_SEEDS].sign == 1
    assert not claims.may_claim(baselines.ahead(table, plain)), "one language opens the gate for no other"
    assert row[OVER_SEEDS].interval.mean == pytest.approx(row["score"].mean - row["its score"])


def test_without_a_plain_model_whether_an_encoder_is_ahead_is_not_measured(study):
    table, plain = study(), without(study, 0.5)
    other = plain.assign(dataset="masakhaner2")
    assert {baselines.ahead(table, one).verdict for one in (None, plain[:0], other)} == {NOT_MEASURED}


def test_the_figure_of_the_dense_encoders_has_a_cross_for_the_plain_model(study):
    table, plain = study(), without(study, 0.5)
    axes = figures.dense_f1(table, plain=plain)
    cross = next(line for line in axes.get_lines() if line.get_label() == "without an encoder")
    own = plain[plain["split"] == "test"].set_index("language")["f1"]
    assert list(cross.get_xdata()) == pytest.approx([own["swa"], own["yor"], own.mean()])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Swahili", "Yoruba", "Average"]
    assert cross.get_marker() == "X" and list(cross.get_ydata()) == [0, 1, 2]
    some = figures.dense_f1(table, plain=plain[plain["language"] == "swa"])
    cross = next(line for line in some.get_lines() if line.get_label() == "without an encoder")
    assert np.isfinite(cross.get_xdata()).tolist() == [True, False, False]


def test_a_model_of_one_lucky_seed_is_not_chosen(study):
    table = study(labels=("dense", "pruned 50%", "pruned 90%"))
    lucky = (table["group"] == "pruned 90%") & (table["seed"] == 3)
    table.loc[lucky & (table["split"] == "dev"), ["f1", "score"]] = 99.0
    table = table[(table["group"] != "pruned 90%") | lucky]
    assert baselines.closest(table).values["closest"] == "pruned 50%"
