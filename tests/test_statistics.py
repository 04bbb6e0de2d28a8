import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from smaller.analysis.statistics import (
    LACKING,
    Interval,
    by_seed,
    describe,
    drop_at,
    holm,
    language_average,
    least_p,
    over_seeds,
    spearman,
    t_interval,
)
from smaller.base.errors import SmallerError


def tidy(curves, *, seeds=(1, 2, 3), spread=1.0, encoder="e", language="swa", split="test"):
    """A tidy table from {order: {sparsity: mean F1}}; the seeds lie at mean - spread, mean, mean + spread."""
    rows = [
        {
            "dataset": "d",
            "encoder": encoder,
            "language": language,
            "seed": seed,
            "split": split,
            "order": order,
            "sparsity": sparsity,
            "method": "" if order == "dense" else "magnitude",
            "scope": "",
            "include": "",
            "f1": mean + spread * (position - (len(seeds) - 1) / 2),
        }
        for order, curve in curves.items()
        for sparsity, mean in curve.items()
        for position, seed in enumerate(seeds)
    ]
    return pd.DataFrame(rows)


def test_t_interval_equals_the_one_done_by_hand():
    interval = t_interval([79.0, 81.0, 83.0])
    half = 4.302653 * 2.0 / math.sqrt(3)  # t(0.975, 2 degrees of freedom), standard deviation 2
    assert interval.mean == pytest.approx(81.0)
    assert (interval.low, interval.high) == pytest.approx((81 - half, 81 + half), abs=1e-4)
    assert (interval.low, interval.high) == pytest.approx(stats.t.interval(0.95, 2, 81, stats.sem([79, 81, 83])))


def test_one_run_has_no_interval_and_says_so():
    interval = t_interval([81.24])
    assert math.isnan(interval.low) and math.isnan(interval.high) and not interval.known
    assert describe(interval) == "81.2, n = 1 (no interval)"
    assert describe(t_interval([79.9, 81.2, 82.5])) == "81.2 [78.0, 84.4], n = 3"
    assert describe(t_interval([79.9, 81.2, 82.5]), " %") == "81.2 % [78.0, 84.4], n = 3"
    assert describe(interval, " %") == "81.2 %, n = 1 (no interval)"
    assert describe(t_interval([])) == "not measured"
    assert describe(Interval(math.nan, math.nan, math.nan, 0, LACKING)) == "not recorded"


def test_means_by_seed_have_every_language_of_their_group():
    rows = pd.DataFrame(
        [("a", "hau", 1, 2.0), ("a", "hau", 1, 4.0), ("a", "swa", 1, 5.0), ("a", "hau", 2, 9.0), ("b", "hau", 1, 7.0)],
        columns=["model", "language", "seed", "f1"],
    )
    assert by_seed(rows, by=["model"]).to_dict() == {("a", 1): (3 + 5) / 2, ("b", 1): 7.0}
    assert by_seed(rows[rows["model"] == "a"]).to_dict() == {1: 4.0}
    each = over_seeds(rows, by=["model", "language"])
    assert each["a", "hau"] == t_interval([3.0, 9.0]) and each["b", "hau"].n == 1
    assert by_seed(rows[:0], by=["model"]).empty and over_seeds(rows[:0], by=["model"]).empty


@pytest.mark.parametrize("same", [[60.8, 60.8], [0.1 + 0.2, 0.3, 0.3], [math.nan, 5.0, 5.0]])
def test_values_that_are_the_same_at_each_seed_have_no_interval(same):
    """Once, it had no width: 60.8 [60.8, 60.8] of two seeds."""
    found = t_interval(same)
    assert found.mean == pytest.approx(same[-1]) and found.n == sum(not math.isnan(one) for one in same)
    assert not found.known


def test_the_least_p_of_a_rank_correlation_is_that_of_a_perfect_one():
    assert [least_p(n) for n in (1, 3, 4, 5)] == pytest.approx([1, 1 / 3, 1 / 12, 1 / 60])
    assert spearman(range(5), range(5)).p_value == pytest.approx(least_p(5))


def test_missing_values_are_not_counted():
    assert t_interval([1.0, math.nan, 3.0]) == t_interval([1.0, 3.0])


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


def test_a_drop_is_of_the_seeds_that_both_have():
    """Once the mean over all dense seeds stood beside that of a few pruned ones: 4 points were lost here."""
    dense = pd.concat([tidy({"dense": {0.0: f1}}, seeds=(seed,)) for seed, f1 in ((1, 70), (2, 74), (3, 78))])
    pruned = tidy({"before": {0.5: 69.99}}, seeds=(1,))
    assert math.isnan(drop_at(pd.concat([dense, pruned]))["sparsity"].item())


def test_a_drop_that_nobody_measured_is_no_drop_that_never_comes():
    dense, pruned = tidy({"dense": {0.0: 80}}), tidy({"before": {0.5: 70}, "after": {0.5: 70}})
    lost = pruned["f1"].mask(pruned["order"] == "after")
    assert drop_at(pd.concat([dense, pruned.assign(f1=lost)]))["order"].tolist() == ["before"]


def test_curves_without_dense_runs_are_refused():
    with pytest.raises(SmallerError, match="no dense run of e on swa"):
        drop_at(tidy({"before": {0.5: 70}}))


def test_language_average_takes_complete_seeds_only():
    swa = tidy({"dense": {0.0: 80}, "before": {0.5: 70}})
    yor = tidy({"dense": {0.0: 60}, "before": {0.5: 40}}, seeds=(1, 2), spread=0, language="yor")
    average = language_average(pd.concat([swa, yor]))
    before = average[average["order"] == "before"].set_index("seed")["f1"]
    assert before.to_dict() == {1: (69 + 40) / 2, 2: (70 + 40) / 2}
    assert set(average["language"]) == {"average"}
