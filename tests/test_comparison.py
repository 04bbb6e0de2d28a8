"""One comparison: what it pairs, when it decides, and how often it is wrong."""

from __future__ import annotations

import itertools
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
    differences,
    intervals,
    made,
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
    assert found.lacking == ("yor",)
    assert found.left_out == (2,) and not found.interval.known
    assert one(paired(second, first)).lacking == ("yor",), "whichever side lacks it"


def test_a_seed_of_which_a_part_is_missing_is_named():
    cells = {("hau", 1): 71.0, ("hau", 2): 73.0, ("hau", 3): math.nan, ("swa", 1): 81.0, ("swa", 2): 80.0}
    first = table(cells | {("swa", 3): 85.0, ("swa", 4): 80.0})
    second = table(dict.fromkeys([*cells, ("swa", 3)], 70.0))
    found = one(paired(first, second))
    assert found.interval.n == 2 and found.left_out == (3,), "seed 4 is on one side alone"
    groups = [side.assign(order=order) for side in (first,) for order in ("a", "b")]
    whole = pd.concat([groups[0], groups[1].fillna({"f1": 72.0})])
    apart = paired(whole, second, by=["order"], for_all=["order"]).set_index("order")["comparison"]
    assert apart["a"].left_out == (3,) and apart["b"].left_out == ()
    times = [side.rename(columns={"f1": "milliseconds"}) for side in (first, second)]
    assert one(paired(*times, value="milliseconds")).left_out == (), "times are of few seeds"
    assert one(paired(second, second)).left_out == ()


def test_groups_are_corrected_together():
    seeds = range(1, 5)
    shifts = {"4x6": 5, "2x6": 1, "1x6": 0}
    first, second = (
        pd.concat(
            [table({("hau", seed): f1(seed, shift) for seed in seeds}, shape=shape) for shape, shift in shifts.items()]
        )
        for f1 in (lambda seed, shift: 70 + shift + seed / 10, lambda seed, shift: 70 + 0.05 * seed**2)
    )
    found = paired(first, second, by=["shape"]).set_index("shape")["comparison"]
    assert list(found.index) == list(shifts) and {one.of for one in found} == {3}
    assert found["4x6"].corrected == pytest.approx(3 * found["4x6"].p)
    assert found["1x6"].corrected == pytest.approx(found["1x6"].p) and found["4x6"].verdict == DIFFERS


def test_a_group_may_be_a_language():
    first, second = (table({("hau", 1): f1, ("hau", 2): f1, ("yor", 1): 5.0}) for f1 in (3.0, 1.0))
    found = paired(first, second, by=["language"]).set_index("language")["comparison"]
    assert found["hau"].interval.mean == 2 and (found["yor"].interval.n, found["yor"].languages) == (1, ("yor",))


def sparsities(*levels: float, f1: float) -> pd.DataFrame:
    parts = [table({(code, seed): f1 - 100 * level for code in ("hau", "swa") for seed in (1, 2)}) for level in levels]
    return pd.concat([part.assign(sparsity=level) for part, level in zip(parts, levels, strict=True)])


def test_what_varies_besides_is_matched_and_never_averaged_unasked():
    """Once, means over the sparsities of each side were compared, whatever these were: 11.5 points were gained here."""
    before, after = sparsities(0.7, 0.9, f1=120), sparsities(0.7, 0.9, 0.95, f1=120)
    with pytest.raises(
        SmallerError, match="Several rows of the first table are one pair .language hau, seed 1.*`match`"
    ):
        paired(before, after)
    found = one(paired(before, after, match=["sparsity"]))
    assert found.interval.mean == pytest.approx(0) and found.lacking == ()
    assert found.unmatched == ("sparsity 0.95, language hau", "sparsity 0.95, language swa")
    assert str(found) == (
        "0.0 points [0.0, 0.0], 2 seeds, 2 languages, without 2 that one side lacks (sparsity 0.95, language hau, …), "
        "the same at each seed"
    )
    with pytest.raises(SmallerError, match="Several rows of the second table"):
        paired(before[before["sparsity"] == 0.7], after, for_all=["sparsity"])


def test_what_is_matched_is_averaged_in_each_language_and_a_seed_has_all_of_it():
    first = pd.concat(
        [table({("hau", 1): 1.0, ("hau", 2): 1.0, ("swa", 1): 9.0, ("swa", 2): 9.0}, noise="case")]
        + [table({("hau", 1): 3.0, ("hau", 2): 5.0}, noise="dropped")]
    )
    second = first.assign(f1=0.0)
    assert differences(first, second, match=["noise"])["f1"].tolist() == [(2 + 9) / 2, (3 + 9) / 2]
    lost = (first["noise"] == "dropped") & (first["seed"] == 2)
    found = one(paired(first[~lost], second, match=["noise"]))
    assert (found.interval.n, found.interval.mean) == (1, 5.5)


def test_the_second_may_stand_beside_all():
    dense = table({("hau", 1): 70, ("hau", 2): 71}, sparsity=0.0)
    pruned = pd.concat(
        [table({("hau", 1): 69, ("hau", 2): 69}, sparsity=0.5), table({("hau", 1): 60, ("hau", 2): 62}, sparsity=0.9)]
    )
    found = paired(pruned, dense, by=["sparsity"], for_all=["sparsity"]).set_index("sparsity")["comparison"]
    assert [one.interval.mean for one in found] == [-1.5, -9.5] and {one.interval.n for one in found} == {2}
    assert found[0.5] == replace(between([-1, -2], languages=("hau",)), corrected=found[0.5].corrected, of=2)
    assert one(paired(pruned, dense, match=["sparsity"], for_all=["sparsity"])).interval.mean == -5.5
    assert paired(pruned, dense, by=["sparsity"])["verdict"].tolist() == [NOT_MEASURED] * 2
    with pytest.raises(SmallerError, match="The second table has no column sparsity"):
        paired(pruned, dense.drop(columns="sparsity"), by=["sparsity"])


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


def test_a_comparison_in_words_has_its_interval_and_n_and_no_p_of_zero():
    found = Comparison(interval(-0.4, 1.2), 0.3, 0.3, 1, ("hau", "swa"), ("the corpus distillation",))
    assert str(found) == "+0.4 points [-0.4, 1.2], 3 seeds, 2 languages, p = 0.300; drawn once: the corpus distillation"
    assert str(replace(found, corrected=0.0004, drawn_once=())).endswith("2 languages, p < 0.001")
    assert str(Comparison(Interval(-0.04, math.nan, math.nan, 1))) == "0.0 points, 1 seed, no interval"
    assert str(Comparison(Interval(2.0, math.nan, math.nan, 1))) == "+2.0 points, 1 seed, no interval"
    assert found.excludes() == "The interval excludes a gain above 1.2 and a loss above 0.4 points."
    assert str(replace(found, lacking=("yor",))).startswith(
        "+0.4 points [-0.4, 1.2], 3 seeds, 2 of 3 languages (not yor)"
    )
    some = replace(found, languages=("hau",), lacking=("swa",), left_out=(3,), drawn_once=())
    seeds = "3 seeds (without 3, of which a part is missing)"
    assert str(some) == f"+0.4 points [-0.4, 1.2], {seeds}, 1 of 2 languages (not swa), p = 0.300"
    assert (
        Comparison(interval(0.4, 1.2)).excludes()
        == "The interval excludes a gain above 1.2 and a loss above 0.0 points."
    )
    assert Comparison(Interval(2.0, math.nan, math.nan, 1)).excludes() == (
        "One seed has no interval, so nothing is excluded."
    )


@pytest.mark.parametrize(
    ("found", "p", "word"),
    [
        (interval(0.6, 1.0), 0.01, "more"),
        (interval(-1.0, -0.6), 0.01, "less"),
        (interval(-0.1, 0.1), 0.9, "same"),
        (interval(-1, 1), 0.9, "unsure"),
        (Interval(9.0, math.nan, math.nan, 1), math.nan, "unsure"),
    ],
)
def test_words_follow_the_verdict(found, p, word):
    assert Comparison(found, p, p).words("more", "less", "same", "unsure") == word


@pytest.mark.parametrize("same", [[0.1 + 0.2, 0.3, 0.3], [-3.0, -3.0 - 1e-13], [5.0] * 5])
def test_differences_that_are_the_same_at_each_seed_but_for_rounding_decide_nothing(same):
    """Once, p was 0: two seeds, or one model repeated over seeds, showed anything."""
    found = between(same)
    assert math.isnan(found.p) and (found.verdict, found.departs(), found.sign) == (NOT_DECIDED, NOT_DECIDED, 0)
    assert str(found) == f"{same[0]:+.1f} points, {len(same)} seeds, the same at each seed"
    assert not found.interval.known
    assert found.excludes() == "The same difference at each seed has no interval, so nothing is excluded."


def test_an_exact_transformation_agrees_without_a_p():
    found = between([1e-14, 0.0, 0.0])
    assert math.isnan(found.p) and found.verdict == AGREES and found.departs() == DIFFERS
    assert str(between([0.0, 0.0])) == "0.0 points [0.0, 0.0], 2 seeds, the same at each seed"


def test_a_group_without_a_pair_is_not_measured_and_takes_no_part_in_the_correction():
    """Once, it had no row. Holm corrects for the tests that are made: one of a sparsity never tried is none."""
    first = pd.concat([table({("hau", 1): 1.0, ("hau", 2): 2.5}, shape=shape) for shape in ("4x6", "2x6", "1x6")])
    second = first.assign(f1=0.0)
    gone = second["shape"] == "2x6"
    alone = paired(first[~gone], second[~gone], by=["shape"]).set_index("shape")["comparison"]
    for less in (
        second[~gone],
        second.assign(seed=second["seed"].mask(gone, second["seed"] + 5)),
        second.assign(f1=second["f1"].mask(gone, np.inf)),
    ):
        found = paired(first, less, by=["shape"]).set_index("shape")
        assert list(found.index) == ["4x6", "2x6", "1x6"] and found.loc["2x6", "verdict"] == NOT_MEASURED
        assert found["comparison"][["4x6", "1x6"]].to_dict() == alone.to_dict() and alone["4x6"].of == 2
    assert str(found.loc["2x6", "comparison"]) == NOT_MEASURED
    assert list(made(found).index) == ["4x6", "1x6"]
    assert between([]).excludes() == "", "where there is no number, nothing is said of what it leaves open"


def test_a_group_that_the_second_table_alone_has_is_no_group_and_no_test():
    first = table({("hau", 1): 1.0, ("hau", 2): 2.5}, shape="4x6")
    second = pd.concat([first.assign(f1=0.0, shape=shape) for shape in ("1x6", "4x6", "2x6")])
    found = paired(first, second, by=["shape"])
    assert found["shape"].tolist() == ["4x6"] and one(found).of == 1
    assert one(found) == one(paired(first, first.assign(f1=0.0), by=["shape"]))


@pytest.mark.parametrize("column", ["split", "dataset"])
def test_rows_of_two_splits_or_data_sets_are_no_pair(column):
    first, second = (table({("hau", 1): 1.0, ("hau", 2): 2.5}, **{column: name}) for name in ("test", "dev"))
    with pytest.raises(SmallerError, match=f"Rows of {column} 'test' and 'dev' are no pair: filter.*name {column} in"):
        paired(first, second)
    assert paired(first, second, by=[column])["verdict"].tolist() == [NOT_MEASURED]
    assert one(paired(first, first.assign(f1=0.0))).interval.mean == 1.75
    assert one(paired(first, second.drop(columns=column))).interval.n == 2


@pytest.mark.parametrize("value", ["milliseconds", "end_to_end_milliseconds", "training_seconds"])
def test_times_of_two_devices_are_no_pair_and_their_scores_are_one(value):
    first, second = (table({("hau", 1): 1.0, ("hau", 2): 2.5}, device=name, **{value: 3.0}) for name in ("a", "b"))
    with pytest.raises(SmallerError, match="Rows of device 'a' and 'b' are no pair"):
        paired(first, second, value=value)
    assert one(paired(first, second)).verdict == one(paired(first, first, value=value)).verdict == AGREES


def test_a_value_that_is_not_finite_is_not_measured():
    first, second = table({("hau", 1): 1.0, ("hau", 2): math.inf}), table({("hau", 1): 0.0, ("hau", 2): 0.0})
    assert (one(paired(first, second)).interval.n, one(paired(first, second)).interval.mean) == (1, 1.0)
    assert one(paired(first.assign(f1=math.inf), second)).verdict == NOT_MEASURED


def test_seeds_that_are_missing_or_of_two_kinds_are_one_error():
    rows = table({("hau", 1): 1.0, ("hau", 2): 2.0})
    with pytest.raises(SmallerError, match="1 rows of the second table have no seed"):
        paired(rows, rows.assign(seed=[1, math.nan]))
    with pytest.raises(SmallerError, match="seed has text in one table and numbers in the other"):
        paired(rows, rows.assign(seed=["1", "2"]))


def test_mistakes_are_one_error():
    with pytest.raises(SmallerError, match="The second table has no column f1"):
        paired(table({("hau", 1): 1.0}), table({("hau", 1): 1.0}).drop(columns="f1"))
    with pytest.raises(SmallerError, match="more, less, same or keeps, and not 'better'"):
        Comparison(interval(0, 1)).bears_out("better")
    assert paired(table({("hau", 1): 1.0}), table({("swa", 1): 1.0}))["verdict"].tolist() == [NOT_MEASURED]
    noisy = [table({("hau", 1): 1.0}).assign(noise=kind) for kind in ("typos", "")]
    with pytest.raises(SmallerError, match="Rows of noise 'typos' and '' are no pair"):
        paired(*noisy)
    words = table({("hau", 1): 1.0, ("hau", 2): 3.0}).astype({"f1": object})
    assert paired(words, words.assign(f1=0.0))["comparison"][0].interval.mean == 2.0, "numbers in a column of objects"
    nothing = table({("hau", 1): 1.0}, shape="2x6")[:0]
    assert len(paired(table({("hau", 1): 1.0}, shape="4x6"), nothing, by=["shape"])) == 0


# How often it is wrong

LANGUAGES = {"hau": 0.5, "swa": 1.0, "yor": 2.0}
"""Languages, and how far the seeds lie apart in each."""


def drawn(
    generator: np.random.Generator, *, studies: int, seeds: int, shared: float, effect: float = 0.0
) -> pd.DataFrame:
    """Tables of many studies, without and with a treatment, as one: a row for each study, language, seed and arm.

    A seed is good or bad in all languages at once by `shared` points, and in each by a chance of its own; languages
    differ, and so does what the treatment does to each, but by `effect` on average.
    """
    common = generator.normal(0, 1, (studies, seeds, 1)) * shared
    own = generator.normal(0, 1, (studies, seeds, len(LANGUAGES))) * list(LANGUAGES.values())
    dense = 60 + 5 * np.arange(len(LANGUAGES)) + generator.normal(0, 2, own.shape)
    places = itertools.product(range(studies), range(seeds), LANGUAGES)
    whole = pd.DataFrame(places, columns=["study", "seed", "language"])
    small = dense + effect + common + own + np.array([-1.0, 0.0, 1.0])
    return whole.assign(dense=dense.ravel(), small=small.ravel())


def compared(rows: pd.DataFrame) -> list[Comparison]:
    """The comparison of each study alone, as `paired` makes it: it is corrected for no other."""
    arms = (rows.rename(columns={arm: "f1"}) for arm in ("small", "dense"))
    return [replace(one, corrected=one.p, of=1) for one in paired(*arms, by=["study"])["comparison"]]


def test_intervals_cover_and_a_true_null_seldom_differs():
    """3,200 studies in which nothing differs, with 2 to 5 seeds."""
    covered, differing, mistaken = [], [], []
    for seeds, shared in ((2, 1.5), (3, 0.0), (3, 1.5), (5, 1.5)):
        rows = drawn(np.random.default_rng(1), studies=800, seeds=seeds, shared=shared)
        found = compared(rows)
        assert {one.interval.n for one in found} == {seeds}
        covered.append([one.interval.low <= 0 <= one.interval.high for one in found])
        differing.append([one.verdict == DIFFERS for one in found])
        # The same with language and seed as the unit, which the former code had.
        units = (rows["small"] - rows["dense"]).groupby(rows["study"]).agg(t_interval)
        mistaken.append([one.low <= 0 <= one.high for one in units])
    assert np.mean(covered) >= 0.94 and np.mean(differing) <= 0.05
    assert np.mean(mistaken) < 0.9


def test_with_one_seed_nothing_is_decided():
    found = compared(drawn(np.random.default_rng(1), studies=50, seeds=1, shared=1.0, effect=20.0))
    assert {one.verdict for one in found} == {NOT_DECIDED}


def test_of_many_true_nulls_together_seldom_one_differs():
    rows = drawn(np.random.default_rng(7), studies=8 * 300, seeds=3, shared=1.0)
    rows = rows.assign(family=rows["study"] // 8)
    arms = [rows.rename(columns={arm: "f1"}) for arm in ("small", "dense")]
    each = [own for _, own in paired(*arms, by=["family", "study"]).groupby("family")]
    wrong = [any(corrected(own)["verdict"] == DIFFERS) for own in each]
    assert len(wrong) == 300 and np.mean(wrong) <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 300)


def test_a_true_effect_is_found():
    found = compared(drawn(np.random.default_rng(3), studies=200, seeds=5, shared=0.5, effect=-4.0))
    assert np.mean([one.sign == -1 for one in found]) > 0.9


@pytest.mark.parametrize("given", [{"by": ["seed"]}, {"match": ["seed"]}, {"by": ["language", "f1"]}])
def test_what_pairs_rows_and_what_is_compared_are_no_groups(given):
    """`by=["seed"]` ended in a ValueError of pandas: "cannot insert seed, already exists"."""
    rows = table({("hau", 1): 70.0, ("hau", 2): 71.0})
    with pytest.raises(SmallerError, match="(seed|f1) cannot stand in by, match or for_all: f1 is paired by seed"):
        paired(rows, rows, **given)


def test_what_was_drawn_once_may_depend_on_the_group():
    rows = pd.concat([table({("hau", 1): 70.0, ("hau", 2): 71.0}, shape=shape) for shape in ("4x6", "2x6")])
    found = paired(rows, rows, by=["shape"], drawn_once=lambda group: ["the text"] * (group["shape"] == "2x6"))
    assert [one.drawn_once for one in found["comparison"]] == [(), ("the text",)]
    shown = intervals(found["comparison"])
    assert [(one.mean, one.n) for one in shown] == [(0.0, 2)] * 2 and not hasattr(shown[0], "verdict")
