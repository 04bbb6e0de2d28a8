"""One comparison: what it pairs, when it decides, and how often it is wrong."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from smaller.analysis.comparison import (
    AGREES,
    DIFFERS,
    NOT_DECIDED,
    NOT_MEASURED,
    VERDICTS,
    Comparison,
    between,
    corrected,
    paired,
)
from smaller.analysis.statistics import Interval, t_interval
from smaller.base.errors import SmallerError


def table(cells: dict[tuple[str, int], float], **more: object) -> pd.DataFrame:
    return pd.DataFrame([{"language": code, "seed": seed, "f1": f1, **more} for (code, seed), f1 in cells.items()])


def one(found: pd.DataFrame) -> Comparison:
    (comparison,) = found["comparison"]
    return comparison


def test_pairs_are_seeds_and_languages_are_averaged_first():
    first = table({("hau", 1): 71, ("hau", 2): 73, ("hau", 3): 72, ("swa", 1): 81, ("swa", 2): 80, ("swa", 3): 85})
    second = table({("hau", 1): 70, ("hau", 2): 70, ("hau", 3): 70, ("swa", 1): 80, ("swa", 2): 80, ("swa", 3): 80})
    found = one(paired(first, second))
    by_hand = [(1 + 1) / 2, (3 + 0) / 2, (2 + 5) / 2]
    assert found.interval == t_interval(by_hand) and found.interval.n == 3
    assert found.p == found.corrected == pytest.approx(stats.ttest_1samp(by_hand, 0).pvalue)
    assert found.languages == ("hau", "swa")


def test_a_seed_that_lacks_a_language_and_a_language_that_one_side_lacks_are_no_pair():
    first = table({("hau", 1): 71, ("hau", 2): 73, ("swa", 1): 81, ("yor", 1): 60})
    second = table({("hau", 1): 70, ("hau", 2): 70, ("swa", 1): 80, ("swa", 2): 80})
    found = one(paired(first, second))
    assert (found.interval.n, found.interval.mean, found.languages) == (1, 1.0, ("hau", "swa"))


def test_several_rows_of_one_match_are_averaged_and_groups_are_corrected_together():
    seeds = range(1, 5)
    first = pd.concat(
        [
            table({("hau", seed): 70 + shift + seed / 10 for seed in seeds}, shape=shape)
            for shape, shift in (("4x6", 5), ("2x6", 1), ("1x6", 0))
        ]
    )
    twice = pd.concat([first.assign(f1=first["f1"] - 1), first.assign(f1=first["f1"] + 1)])
    second = pd.concat(
        [table({("hau", seed): 70 + 0.05 * seed**2 for seed in seeds}, shape=shape) for shape in ("4x6", "2x6", "1x6")]
    )
    found = paired(twice, second, by=["shape"]).set_index("shape")["comparison"]
    assert list(found.index) == ["4x6", "2x6", "1x6"] and {one.of for one in found} == {3}
    assert found["4x6"].corrected == pytest.approx(3 * found["4x6"].p)
    assert found["1x6"].corrected == pytest.approx(found["1x6"].p) and found["4x6"].verdict == DIFFERS


def test_one_reference_may_serve_all_groups():
    dense = table({("hau", 1): 70, ("hau", 2): 71})
    pruned = pd.concat(
        [table({("hau", 1): 69, ("hau", 2): 69}, sparsity=0.5), table({("hau", 1): 60, ("hau", 2): 62}, sparsity=0.9)]
    )
    found = paired(pruned, dense, by=["sparsity"], one_for_all=True).set_index("sparsity")["comparison"]
    assert [one.interval.mean for one in found] == [-1.5, -9.5] and {one.interval.n for one in found} == {2}
    assert found[0.5] == replace(between([-1, -2], languages=("hau",)), corrected=found[0.5].corrected, of=2)
    with pytest.raises(SmallerError, match="The second table has no column sparsity"):
        paired(pruned, dense, by=["sparsity"])


def interval(low: float, high: float, n: int = 3) -> Interval:
    return Interval((low + high) / 2, low, high, n)


@pytest.mark.parametrize(
    ("found", "p", "verdict", "departs", "more", "less", "same"),
    [
        (interval(0.6, 1.0), 0.01, DIFFERS, DIFFERS, AGREES, DIFFERS, DIFFERS),
        (interval(-4.0, -2.5), 0.01, DIFFERS, AGREES, DIFFERS, AGREES, DIFFERS),
        (interval(-4.0, -0.5), 0.02, DIFFERS, NOT_DECIDED, DIFFERS, AGREES, DIFFERS),
        (interval(-0.4, 0.3), 0.70, AGREES, DIFFERS, DIFFERS, DIFFERS, AGREES),
        (interval(0.1, 0.3), 0.01, AGREES, DIFFERS, DIFFERS, DIFFERS, AGREES),
        (interval(-3.1, 2.9), 0.90, NOT_DECIDED, NOT_DECIDED, NOT_DECIDED, NOT_DECIDED, NOT_DECIDED),
        (interval(0.6, 1.0), 0.08, NOT_DECIDED, DIFFERS, NOT_DECIDED, NOT_DECIDED, NOT_DECIDED),
        (Interval(9.0, math.nan, math.nan, 1), math.nan, NOT_DECIDED, NOT_DECIDED, *[NOT_DECIDED] * 3),
        (Interval(math.nan, math.nan, math.nan, 0), math.nan, NOT_MEASURED, NOT_MEASURED, *[NOT_MEASURED] * 3),
    ],
)
def test_one_rule_for_every_verdict(found, p, verdict, departs, more, less, same):
    comparison = Comparison(found, p, p)
    assert comparison.verdict == verdict and comparison.departs() == departs
    assert [comparison.bears_out(says) for says in ("more", "less", "same")] == [more, less, same]
    assert {verdict, departs, more, less, same} <= set(VERDICTS)


def test_what_nobody_can_decide_says_what_it_rules_out():
    assert Comparison(interval(-0.4, 1.2), 0.3, 0.3).excludes() == "a gain above 1.2 and a loss above 0.4 points"
    assert Comparison(interval(0.4, 1.2), 0.3, 0.3).excludes() == "a gain above 1.2 and a loss above 0.0 points"
    told = Comparison(interval(-0.4, 1.2), 0.3, 0.3, 1, ("hau", "swa"), ("the corpus distillation",))
    assert str(told) == "+0.4 points [-0.4, 1.2], 3 seeds, 2 languages, p = 0.300; drawn once: the corpus distillation"
    assert str(Comparison(Interval(-0.04, math.nan, math.nan, 1))) == "+0.0 points, 1 seed, no interval"
    assert str(Comparison(Interval(2.0, math.nan, math.nan, 1))) == "+2.0 points, 1 seed, no interval"


def test_seeds_that_agree_but_for_rounding_leave_no_doubt():
    assert between([0.1 + 0.2, 0.3, 0.3]).p == 0 and between([0.1 + 0.2, 0.3, 0.3]).verdict == AGREES
    assert between([1e-14, 0.0, 0.0]).p == 1 and between([-3.0, -3.0 - 1e-13]).verdict == DIFFERS


def test_mistakes_are_one_error():
    with pytest.raises(SmallerError, match="The second table has no column f1"):
        paired(table({("hau", 1): 1.0}), table({("hau", 1): 1.0}).drop(columns="f1"))
    with pytest.raises(SmallerError, match="more, less or same"):
        Comparison(interval(0, 1)).bears_out("better")
    assert paired(table({("hau", 1): 1.0}), table({("swa", 1): 1.0}))["verdict"].tolist() == [NOT_MEASURED]
    assert len(paired(table({("hau", 1): 1.0}, shape="4x6"), table({("hau", 1): 1.0}, shape="2x6"), by=["shape"])) == 0


def drawn(generator: np.random.Generator, *, seeds: int, shared: float, effect: float = 0.0) -> Comparison:
    """Three languages of different spread; `shared` is the spread of what a seed does to all languages at once."""
    common = generator.normal(0, 1, seeds) * shared
    by_language = effect + common + generator.normal(0, 1, (3, seeds)) * [[0.5], [1.0], [2.0]]
    return between(by_language.mean(axis=0), languages=("hau", "swa", "yor"))


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("shared", [0.0, 1.5])
def test_intervals_cover_and_a_true_null_seldom_differs(seeds, shared):
    generator = np.random.default_rng(seeds)
    found = [drawn(generator, seeds=seeds, shared=shared) for _ in range(2000)]
    covered = np.mean([one.interval.low <= 0 <= one.interval.high for one in found])
    # Three standard errors of 2,000 draws are 1.5 points.
    assert covered >= 0.935 and np.mean([one.verdict == DIFFERS for one in found]) <= 0.065
    assert {drawn(generator, seeds=1, shared=shared, effect=20.0).verdict for _ in range(20)} == {NOT_DECIDED}


def test_of_many_true_nulls_together_seldom_one_differs():
    generator = np.random.default_rng(7)
    families = [[drawn(generator, seeds=3, shared=0.0) for _ in range(8)] for _ in range(250)]
    wrong = [any(corrected(pd.DataFrame({"comparison": family}))["verdict"] == DIFFERS) for family in families]
    assert np.mean(wrong) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 250)


def test_a_true_effect_is_found():
    generator = np.random.default_rng(3)
    found = [drawn(generator, seeds=5, shared=0.0, effect=-4.0) for _ in range(200)]
    assert np.mean([one.sign == -1 for one in found]) > 0.9
