import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from smaller.errors import SmallerError
from smaller.statistics import (
    bootstrap_interval,
    departure,
    describe,
    drop_at,
    holm,
    language_average,
    paired_difference,
    permutation_test,
    simultaneous,
    spearman,
    t_interval,
)


def tidy(curves, *, seeds=(1, 2, 3), spread=1.0, encoder="e", language="swa", split="test"):
    """A tidy table from {order: {sparsity: mean F1}}; the seeds lie at mean - spread, mean, mean + spread."""
    rows = [
        {
            "dataset": "d", "encoder": encoder, "language": language, "seed": seed, "split": split, "order": order,
            "sparsity": sparsity, "method": "" if order == "dense" else "magnitude", "scope": "", "include": "",
            "f1": mean + spread * (position - (len(seeds) - 1) / 2),
        }
        for order, curve in curves.items()
        for sparsity, mean in curve.items()
        for position, seed in enumerate(seeds)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_t_interval_equals_the_one_done_by_hand():
    interval = t_interval([79.0, 81.0, 83.0])
    half = 4.302653 * 2.0 / math.sqrt(3)  # t(0.975, 2 degrees of freedom), standard deviation 2
    assert interval.mean == pytest.approx(81.0)
    assert (interval.low, interval.high) == pytest.approx((81 - half, 81 + half), abs=1e-4)
    low, high = stats.t.interval(0.9, 2, loc=81, scale=stats.sem([79, 81, 83]))
    narrow = t_interval([79.0, 81.0, 83.0], confidence=0.9)
    assert (narrow.low, narrow.high) == pytest.approx((low, high))


def test_intervals_that_hold_at_once_are_those_of_a_smaller_error():
    usual = t_interval([79.0, 81.0, 83.0])
    wide = simultaneous(usual, of=5)
    expected = t_interval([79.0, 81.0, 83.0], confidence=0.99)
    assert (wide.low, wide.high) == pytest.approx((expected.low, expected.high)) and wide.n == 3
    assert simultaneous(usual, of=1) == usual


def test_one_run_has_no_interval_and_says_so():
    interval = t_interval([81.24])
    assert math.isnan(interval.low) and math.isnan(interval.high) and not interval.known
    assert describe(interval) == "81.2, n = 1 (no interval)"
    assert describe(t_interval([79.9, 81.2, 82.5])) == "81.2 [78.0, 84.4], n = 3"
    assert describe(t_interval([])) == "not measured"


def test_missing_values_are_not_counted():
    assert t_interval([1.0, math.nan, 3.0]) == t_interval([1.0, 3.0])


def test_paired_difference_uses_the_pairs():
    difference = paired_difference([80, 70, 60], [79, 69, 59])
    assert (difference.mean, difference.low, difference.high) == (1, 1, 1)
    with pytest.raises(SmallerError, match="3 and 2"):
        paired_difference([1, 2, 3], [1, 2])


def test_bootstrap_draws_seeds_within_languages():
    groups = {"swa": [80.0, 82.0], "yor": [60.0, 64.0]}
    first = bootstrap_interval(groups, generator=np.random.default_rng(1))
    assert first == bootstrap_interval(groups, generator=np.random.default_rng(1))
    assert first.mean == 71.5 and first.n == 2
    # All nine equally likely pairs of language means lie between these; resampling languages would leave the range.
    assert 70 <= first.low < first.high <= 73
    # With one language of many values the standard error is that of the mean.
    values = np.random.default_rng(0).normal(50, 2, 400)
    wide = bootstrap_interval({"swa": values}, generator=np.random.default_rng(2))
    assert wide.high - wide.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.05)


def test_permutation_test_equals_scipy():
    generator = np.random.default_rng(3)
    a, b = generator.normal(0.5, 1, 9), generator.normal(0, 1, 9)
    ours = permutation_test(a, b)
    reference = stats.permutation_test(
        (a, b), lambda x, y, axis: (x - y).mean(axis=axis), permutation_type="samples", n_resamples=np.inf
    )
    assert ours.exact and ours.p_value == pytest.approx(reference.pvalue)
    assert permutation_test([1, 2, 3], [0, 0, 0]).p_value == pytest.approx(2 / 8)
    assert permutation_test([1, 1], [1, 1]).p_value == 1


def test_permutation_test_of_many_pairs_needs_a_generator():
    a, b = np.arange(20.0) + 1, np.arange(20.0)
    with pytest.raises(SmallerError, match="generator"):
        permutation_test(a, b)
    drawn = permutation_test(a, b, generator=np.random.default_rng(1), repeats=2000)
    assert not drawn.exact and 0 < drawn.p_value < 0.01


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.5]) == [1, 1]


def test_spearman_with_interval_and_exact_p_value():
    x, y = [1, 2, 3, 4, 5], [2, 1, 4, 3, 5]
    result = spearman(x, y)
    assert result.rho == pytest.approx(0.8) and result.n == 5
    reach = [abs(stats.spearmanr(x, p).statistic) >= 0.8 - 1e-9 for p in itertools.permutations(y)]
    assert result.p_value == pytest.approx(np.mean(reach))
    half = 1.959964 * math.sqrt((1 + 0.32) / 2)
    assert result.low == pytest.approx(math.tanh(math.atanh(0.8) - half), abs=1e-5)
    assert math.isnan(spearman([1, 2], [1, 2]).rho)
    assert math.isnan(spearman([1, 1, 1, 1], [1, 2, 3, 4]).rho)


def test_departure_is_where_f1_leaves_the_dense_interval_for_good():
    table = pd.concat(
        [
            # The dense interval is 80 +- 2.48; the dip at 0.3 recovers, the fall from 0.7 does not.
            tidy({"dense": {0.0: 80}, "before": {0.3: 77, 0.5: 79, 0.7: 77, 0.9: 60}}),
            tidy({"dense": {0.0: 80}, "after": {0.3: 80, 0.9: 78}}, language="yor"),
            tidy({"dense": {0.0: 80}, "after": {0.3: 10, 0.9: 5}}, language="hau"),
            tidy({"dense": {0.0: 80}, "after": {0.3: 10}}, language="ibo", seeds=(1,)),
        ]
    )
    result = departure(table).set_index("language")
    assert result.loc["swa", "departure"] == 0.7
    assert result.loc["swa", "dense_low"] == pytest.approx(80 - 4.302653 / math.sqrt(3), abs=1e-4)
    assert math.isnan(result.loc["yor", "departure"]) and result.loc["yor", "n"] == 3
    assert result.loc["hau", "departure"] == 0.3
    assert math.isnan(result.loc["ibo", "departure"]) and result.loc["ibo", "n"] == 1


def test_drop_at_interpolates_from_dense():
    table = pd.concat(
        [
            tidy({"dense": {0.0: 80}, "before": {0.4: 81, 0.5: 79, 0.6: 75}, "after": {0.5: 79.5}}),
            tidy({"dense": {0.0: 80}, "before": {0.4: 70}}, split="dev"),
        ]
    )
    result = drop_at(table).set_index("order")["sparsity"]
    assert result["before"] == pytest.approx(0.525)
    assert math.isnan(result["after"])
    assert drop_at(table, split="dev")["sparsity"].item() == pytest.approx(0.08)


def test_curves_without_dense_runs_are_refused():
    with pytest.raises(SmallerError, match="no dense run of e on swa"):
        departure(tidy({"before": {0.5: 70}}))


def test_language_average_takes_complete_seeds_only():
    swa = tidy({"dense": {0.0: 80}, "before": {0.5: 70}})
    yor = tidy({"dense": {0.0: 60}, "before": {0.5: 40}}, seeds=(1, 2), spread=0, language="yor")
    average = language_average(pd.concat([swa, yor]))
    before = average[average["order"] == "before"].set_index("seed")["f1"]
    assert before.to_dict() == {1: (69 + 40) / 2, 2: (70 + 40) / 2}
    assert set(average["language"]) == {"average"}
