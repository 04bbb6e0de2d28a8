"""The dense encoders and the first look at pruning: findings as values, with both sources of chance."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from smaller import results, sentences
from smaller.comparison import AGREES, DIFFERS, NOT_DECIDED, NOT_MEASURED
from smaller.evaluation import pack
from smaller.findings import baselines
from smaller.published import published
from smaller.report.display import in_numbers
from smaller.sentences import Counts
from smaller.statistics import t_interval

LOSSES = {"dense": 0.0, "pruned 50%": 0.0, "pruned 90%": 0.4}
SENTENCES = {"swa": 300, "yor": 200}


def counts_of(language: str, seed: int, *, recall: float) -> np.ndarray:
    """Counts of a test set that is the same for all models, of a model that finds this share of the spans."""
    generator = np.random.default_rng(len(language) + ord(language[0]))
    gold = generator.poisson(2.0, SENTENCES[language])
    luck = np.random.default_rng([seed, ord(language[0])]).random((9, len(gold)))
    right = (luck < recall).cumsum(axis=0)[np.minimum(gold, 9) - 1, np.arange(len(gold))] * (gold > 0)
    return np.stack([right, gold, gold])


@pytest.fixture
def study(monkeypatch):
    """Makes the table of a study whose records hold counts by sentence; `lacking` records are older than those."""

    def make(*, encoders=("small",), languages=("swa", "yor"), seeds=(1, 2, 3), labels=("dense",), lacking=()):
        rows, records = [], {}
        for encoder in encoders:
            for language in languages:
                for seed in seeds:
                    for label in labels:
                        recall = {"small": 0.7, "base": 0.8}[encoder] - LOSSES[label]
                        identity = f"{encoder}-{language}-{seed}-{label}"
                        counts = counts_of(language, seed, recall=recall - 0.1 * (language == "yor"))
                        kept = {} if encoder in lacking else {"by_sentence": pack("spans", counts)}
                        records[identity] = {"scores": {}}
                        for split in ("dev", "test"):
                            records[identity]["scores"][f"masakhaner/{language}/{split}"] = kept
                            rows.append({
                                "identity": identity, "label": label, "encoder": encoder, "dataset": "masakhaner",
                                "language": language, "split": split, "noise": "", "seed": seed,
                                "order": "dense" if label == "dense" else "after", "method": "", "scope": "",
                                "include": "", "sparsity": LOSSES[label], "f1": Counts("spans", counts).scores()[0],
                                "dense_bytes": 5e6, "compressed_bytes": 4e6 - 5e6 * LOSSES[label],
                                "achieved_sparsity": LOSSES[label], "parameters": 1_000_000,
                            })  # fmt: skip
        monkeypatch.setattr(results, "of_identity", records.get)
        return pd.DataFrame(rows)

    return make


def test_dense_f1_has_an_interval_over_seeds_and_one_over_sentences(study):
    table = study()
    found = baselines.dense(table)
    test = table[table["split"] == "test"]
    expected = t_interval(test.groupby("seed")["f1"].mean())
    assert (found.quantity.mean, found.quantity.low) == pytest.approx((expected.mean, expected.low))
    assert found.quantity.n == 3
    whole = found.values["means"]["small"]
    assert whole[baselines.OVER_SENTENCES] == sentences.interval(test)
    assert whole[baselines.OVER_SENTENCES].n == 500 and whole[baselines.OVER_SENTENCES].known
    assert whole[baselines.OVER_SENTENCES].mean == pytest.approx(found.quantity.mean)
    assert found.measured and found.headline.count(".") == 2 and "small has a test F1" in found.headline
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
    assert not one.quantity.known and one.values["means"]["small"][baselines.OVER_SENTENCES].known
    table = study(lacking=("small",))
    old = baselines.dense(table)
    drawn = old.values["means"]["small"][baselines.OVER_SENTENCES]
    assert old.quantity.known and (drawn.n, drawn.kind) == (0, sentences.LACKING)
    assert sentences.LACKING in old.text
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
    assert found.loc["swa", "AfriBERTa base, published"] == 88.0 and found.loc["yor", "AfriBERTa base, published"] > 70


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
    table.loc[(table["split"] == "dev") & (table["label"] == "pruned 90%"), "f1"] = 99.0
    other = baselines.closest(table)
    assert other.values["closest"] == "pruned 90%" and other.quantity.sign == -1


def test_with_one_seed_nothing_is_decided(study):
    found = baselines.closest(study(labels=tuple(LOSSES), seeds=(1,)))
    assert found.verdict == NOT_DECIDED and math.isnan(found.quantity.p)
