"""One comparison, and one rule for what it shows: the languages of a study are fixed, its seeds are the sample.

Every sentence of the study that says that something differs, or that nothing is lost, rests on a verdict of `paired`.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats

from smaller.analysis import sentences
from smaller.analysis.statistics import SAME, Interval, holm, t_interval
from smaller.base.checks import require
from smaller.base.errors import SmallerError

AGREES, DIFFERS, NOT_DECIDED = "agrees", "differs", "not decided"
NOT_MEASURED, NOT_COMPARABLE = "not measured", "not comparable"
VERDICTS = (AGREES, DIFFERS, NOT_DECIDED, NOT_MEASURED, NOT_COMPARABLE)

MARGIN = 0.5
"""Points within which two scores count as the same: stated beforehand, for every comparison of the study."""

DEPARTURE = 2.0
"""Points of F1 from which a model counts as worse than another; its interval has to exclude a smaller loss."""

LEVEL = 0.05
OVER_SENTENCES = "over sentences"


def unknown(interval: Interval) -> str:
    """The verdict where there is a number without an interval, or none at all."""
    return NOT_DECIDED if interval.n else NOT_MEASURED


@dataclass(frozen=True)
class Comparison:
    """The mean difference of two models in points over seeds, and what it shows.

    `interval` is a t interval over seeds, of differences that are averaged over `languages` first. `p` is of the paired
    t test, `corrected` by Holm over the `of` comparisons made together. `drawn_once` names what all seeds share (a
    corpus distillation, an adaptation): no interval covers it. What one side lacks is in no difference: `lacking`
    are such languages, `unmatched` such values of `match` within `languages`. The verdict is of `languages` alone.
    `left_out` are seeds that both sides have, but not whole: a value is no number, or a language is missing.
    """

    interval: Interval
    p: float = math.nan
    corrected: float = math.nan
    of: int = 1
    languages: tuple[str, ...] = ()
    drawn_once: tuple[str, ...] = ()
    margin: float = MARGIN
    lacking: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()
    left_out: tuple[int, ...] = ()

    @property
    def verdict(self) -> str:
        """It agrees inside the margin, differs with a corrected p below 0.05, else (as with one seed) is undecided."""
        if not self.interval.known:
            return unknown(self.interval)
        if self.interval.low > -self.margin and self.interval.high < self.margin:
            return AGREES
        return DIFFERS if self.corrected < LEVEL else NOT_DECIDED

    @property
    def sign(self) -> int:
        """1 where the first is shown to be ahead, -1 where it is shown to be behind, else 0."""
        return int(math.copysign(1, self.interval.mean)) if self.verdict == DIFFERS else 0

    def words(self, more: str, less: str, same: str, unsure: str) -> str:
        """The one of four wordings that the verdict allows."""
        return same if self.verdict == AGREES else {1: more, -1: less, 0: unsure}[self.sign]

    def departs(self, *, by: float = DEPARTURE) -> str:
        """Whether the first loses `by` points or more: its interval excludes any smaller loss, or excludes this one."""
        if not self.interval.known:
            return unknown(self.interval)
        if self.interval.high <= -by:
            return AGREES
        return DIFFERS if self.interval.low > -by else NOT_DECIDED

    def bears_out(self, says: str) -> str:
        """The verdict on a claim that the first is "more", "less" or the "same", or that it "keeps" to two points."""
        require(says in ("more", "less", "same", "keeps"), f"A claim says more, less, same or keeps, and not {says!r}.")
        if says == "keeps":
            return {AGREES: DIFFERS, DIFFERS: AGREES}.get(word := self.departs(), word)
        if self.verdict in (NOT_MEASURED, NOT_DECIDED):
            return self.verdict
        return AGREES if says == self.words("more", "less", "same", "") else DIFFERS

    def excludes(self) -> str:
        """A sentence on what an undecided comparison still rules out."""
        if not self.interval.n:
            return ""
        if not self.interval.known:
            which = "One seed has" if self.interval.n < 2 else "The same difference at each seed has"
            return f"{which} no interval, so nothing is excluded."
        gain, loss = outward(self.interval.high), outward(-self.interval.low)
        return f"The interval excludes a gain above {gain:.1f} and a loss above {loss:.1f} points."

    def __str__(self) -> str:
        if self.interval.n == 0:
            return NOT_MEASURED
        seeds = f"{self.interval.n} seed{'s' * (self.interval.n != 1)}"
        if self.left_out:
            seeds += f" (without {', '.join(map(str, self.left_out))}, of which a part is missing)"
        languages = f", {len(self.languages)} languages" if len(self.languages) > 1 else ""
        if self.lacking:
            both = len(self.languages)
            languages = f", {both} of {both + len(self.lacking)} languages (not {', '.join(self.lacking)})"
        if self.unmatched:
            languages += f", without {len(self.unmatched)} that one side lacks ({self.unmatched[0]}"
            languages += ", …)" if len(self.unmatched) > 1 else ")"
        bounds, p = "", ", the same at each seed" if self.interval.n > 1 else ", no interval"
        if self.interval.known:
            bounds = f" [{round(self.interval.low, 1) + 0.0:.1f}, {round(self.interval.high, 1) + 0.0:.1f}]"
        if not math.isnan(self.corrected):
            p = ", p < 0.001" if self.corrected < 0.001 else f", p = {self.corrected:.3f}"
        once = f"; drawn once: {', '.join(self.drawn_once)}" if self.drawn_once else ""
        # Adding zero turns -0.0, which rounding leaves of small losses, into 0.0, which has no sign.
        mean = round(self.interval.mean, 1) + 0.0
        return f"{mean:{'+' if mean else ''}.1f} points{bounds}, {seeds}{languages}{p}{once}"


def outward(bound: float) -> float:
    """What an interval reaches at most, to one decimal, so that it excludes what is above; at least zero."""
    return max(0.0, math.ceil(round(10 * bound, 6)) / 10)


def clarity(says: str) -> Callable[[Comparison], tuple[int, float]]:
    """What sorts comparisons by how clearly they bear out what a claim says (see `bears_out`), against it first.

    A claim on all is judged by the first of them, one on some by the last.
    """
    order, side = (DIFFERS, NOT_DECIDED, AGREES), -1 if says == "less" else 1
    return lambda one: (order.index(one.bears_out(says)), side * one.interval.mean)


def differences(first: pd.DataFrame, second: pd.DataFrame, *, by: Sequence[str] = (), **pairs: object) -> pd.DataFrame:
    """`value` of `first` minus `second` at each seed, for each group of `by`: columns `by`, seed, `value`.

    `pairs` are `match`, `for_all` and `value`, a column's name. Rows are paired where `by`, `match`, language and seed
    are the same, but for the columns of these in `for_all`, of which the second knows nothing, as the dense model of
    sparsity. Differences are averaged over `match` in each language, then over languages. A seed that lacks a pair
    which its group has at another one is NaN, as is one whose value is not finite. SmallerError is raised by several
    rows that are one pair, rows without a seed, and pairs of two splits, data sets, kinds of noise or, where the value
    is a time, devices.
    """
    value, (both, wanted) = pairs.get("value", "f1"), _pairs(first, second, by=by, **pairs)
    groups = wanted.drop_duplicates("_group").set_index("_group")[list(by)]
    return _by_seed(both, wanted, value).join(groups, on="_group")[[*by, "seed", value]]


def _pairs(
    first: pd.DataFrame,
    second: pd.DataFrame,
    *,
    by: Sequence[str] = (),
    match: Sequence[str] = (),
    for_all: Sequence[str] = (),
    value: str = "f1",
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The pairs of `differences`, with their rows' places; and what a side has in each group, by `match` and language.

    Both have the number of their `_group`. What both sides have is `_merge` "both"; a group may have nothing of that.
    """
    if taken := sorted({"seed", value} & {*by, *match, *for_all}):
        raise SmallerError(f"{' and '.join(taken)} cannot stand in by, match or for_all: {value} is paired by seed.")
    place = list(dict.fromkeys([*by, *match, "language"]))
    keys = [*place, "seed"]
    on = [key for key in keys if key not in for_all]
    alike = ["split", "dataset", "noise", *(["device", "machine"] if "seconds" in value else [])]
    alike = [column for column in alike if column not in keys and column in first and column in second]
    sides = []
    for frame, needed, name in ((first, keys, "first"), (second, on, "second")):
        if missing := [column for column in [*needed, value] if column not in frame]:
            raise SmallerError(f"The {name} table has no column {', '.join(missing)}, which this comparison needs.")
        own = frame[[*needed, value, *alike]].assign(_row=range(len(frame))).dropna(subset=value)
        own = own.astype({value: float})
        if unseeded := own["seed"].isna().sum() if "seed" in needed else 0:
            raise SmallerError(f"{unseeded} rows of the {name} table have no seed, so nothing pairs them: say which.")
        if (twice := own.duplicated(needed)).any():
            one = ", ".join(f"{key} {told}" for key, told in own.loc[twice, needed].iloc[0].items())
            raise SmallerError(
                f"Several rows of the {name} table are one pair ({one}). Filter the table, or name what sets them "
                "apart in `by` or `match`."
            )
        sides.append(own)
    finite = [side[np.isfinite(side[value])] for side in sides]
    try:
        both = finite[0].merge(finite[1], on=on, suffixes=("", "_second"))
    except ValueError:
        kinds = [key for key in on if sides[0][key].dtype != sides[1][key].dtype]
        raise SmallerError(f"{', '.join(kinds)} has text in one table and numbers in the other: make it one.") from None
    for column in alike:
        mine, theirs = (both[name].astype(object).fillna("").astype(str) for name in (column, f"{column}_second"))
        if (other := mine != theirs).any():
            raise SmallerError(
                f"Rows of {column} {mine[other].iloc[0]!r} and {theirs[other].iloc[0]!r} are no pair: filter the "
                f"tables, or name {column} in `by` or `match`."
            )
    both[value] -= both[f"{value}_second"]
    # Groups are the first's: what the second has beside them was not asked for.
    shared, told = [key for key in by if key in on], [key for key in place if key in by or key in on]
    own, others = (side[[key for key in place if key in side]].drop_duplicates() for side in sides)
    if by:
        groups = own[list(by)].drop_duplicates()
        others = others.merge(groups, on=shared) if shared else others.merge(groups, how="cross")
    more = ~pd.concat([own[told], others[told]]).duplicated().to_numpy()[len(own) :]
    wanted = pd.concat([own, others[more]]) if more.any() else own
    wanted = wanted.assign(_group=wanted.groupby(list(by), sort=False, dropna=False).ngroup() if by else 0)
    both = both.merge(wanted, on=place)
    wanted = wanted.merge(both[place].drop_duplicates(), on=place, how="left", indicator=True)
    return both, wanted if not by or all(map(len, sides)) else wanted[:0]


def _by_seed(both: pd.DataFrame, wanted: pd.DataFrame, value: str) -> pd.DataFrame:
    """The mean difference by `_group` and seed, NaN where the seed has not all that its group has at others."""
    size = wanted.loc[wanted["_merge"] == "both", "_group"].value_counts()
    seeds = both.groupby(["_group", "seed", "language"], sort=False, dropna=False)[value].agg(["mean", "size"])
    found = seeds.groupby(["_group", "seed"], sort=False).agg({"mean": "mean", "size": "sum"}).reset_index()
    return found.assign(**{value: found["mean"].where(found["size"] == found["_group"].map(size))})


def paired(
    first: pd.DataFrame,
    second: pd.DataFrame,
    *,
    by: Sequence[str] = (),
    drawn_once: Iterable[str] | Callable[[dict], Iterable[str]] = (),
    over_sentences: bool = False,
    **pairs: object,
) -> pd.DataFrame:
    """`value` of `first` minus `second` for each group of `by`, paired by seed: a row for each, with its `comparison`.

    `pairs` are `match`, `for_all` and `value` of `differences`, which says what a pair is. What was `drawn_once` may be
    a function of the group, a value for each of `by`. A group of `first` that has no pair is "not measured"; there are
    no groups where either table has no value. The p values are corrected for the number of groups that have pairs. With
    `over_sentences` there is a column of that name: the interval of the same pairs by a paired bootstrap over the
    sentences of the test split.
    """
    both, wanted = _pairs(first, second, by=by, **pairs)
    value, rows = pairs.get("value", "f1"), []
    seeds = _by_seed(both, wanted, value).dropna(subset=value)
    whole_of = dict(list(seeds.groupby("_group")))
    groups = wanted.drop_duplicates("_group")[["_group", *by]]
    told = first.merge(groups, on=list(by)) if by else first.assign(_group=0)
    there_of, others = told.groupby("_group")["seed"].agg(set), set(second["seed"])
    # Groups are numbered in their order.
    wanted = wanted.assign(_code=wanted["language"].astype(str)).sort_values("_code", kind="stable")
    for group, own in wanted.groupby("_group") if by else [(0, wanted)]:
        whole, sides = whole_of.get(group, seeds[:0]), _sides(own, pairs.get("match", ()))
        # Times are measured on few of the seeds.
        timed = not len(whole) or "seconds" in value
        left = [] if timed else sorted((there_of.get(group, set()) & others) - set(whole["seed"]))
        row = own[list(by)].head(1).to_numpy().ravel().tolist()
        once = drawn_once(dict(zip(by, row, strict=True))) if callable(drawn_once) else drawn_once
        about = {"drawn_once": (once,) if isinstance(once, str) else tuple(once), "left_out": tuple(map(int, left))}
        row.append(between(whole[value].to_numpy(), **about, **sides))
        if over_sentences:
            compared = both[(both["_group"] == group) & both["seed"].isin(whole["seed"])]
            places = ((first, "_row"), (second, "_row_second"))
            row.append(sentences.paired(*(frame.iloc[compared[place]] for frame, place in places)))
        rows.append(row)
    columns = [*by, "comparison", *([OVER_SENTENCES] if over_sentences else [])]
    return corrected(pd.DataFrame(rows, columns=columns))


def _sides(wanted: pd.DataFrame, match: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """What a comparison says of the languages, in order, and values of `match`, that its sides have, or one lacks."""
    both = (wanted["_merge"] == "both").tolist()
    languages = dict.fromkeys(itertools.compress(wanted["_code"], both))
    alone = [not paired and code in languages for code, paired in zip(wanted["_code"], both, strict=True)]
    told = wanted.loc[alone, [*dict.fromkeys([*match, "language"])]].to_dict("records") if any(alone) else ()
    return {
        "languages": tuple(languages),
        "lacking": tuple(code for code in dict.fromkeys(wanted["_code"]) if code not in languages),
        "unmatched": tuple(", ".join(f"{key} {value}" for key, value in row.items()) for row in told),
    }


def against(rows: pd.DataFrame, whole: pd.Series, *, by: Sequence[str], **about: object) -> pd.DataFrame:
    """Rows where `whole` is false `paired` with those where it is true, to which `for_all` (else `by`) is unknown."""
    return paired(rows[~whole], rows[whole], by=by, **{"for_all": by} | about).set_index(list(by))


def made(found: pd.DataFrame, column: str = "comparison") -> pd.DataFrame:
    """The rows of a table whose comparison has a pair: those that one may count, sort, and choose from."""
    return found[found[column].map(lambda one: one.interval.n > 0).astype(bool)]


def intervals(told: pd.Series) -> pd.Series:
    """The intervals of comparisons, for a table to look things up in: their verdict stands where one asked for it."""
    return told.map(lambda one: getattr(one, "interval", one))


def corrected(found: pd.DataFrame) -> pd.DataFrame:
    """The comparisons of a table, whose p values Holm's procedure has corrected for the number of those with a pair.

    One that has no p, as it has one seed, counts as a p of one: what is lacking makes no other one surer.
    """
    told = list(found["comparison"])
    measured = [place for place, one in enumerate(told) if one.interval.n]
    ps = holm([1.0 if math.isnan(told[place].p) else told[place].p for place in measured])
    for place, p in zip(measured, ps, strict=True):
        p = math.nan if math.isnan(told[place].p) else p
        told[place] = replace(told[place], corrected=p, of=len(measured))
    return found.assign(comparison=told, verdict=[one.verdict for one in told])


def between(differences: Sequence[float], **about: tuple) -> Comparison:
    """The comparison that one difference a seed makes, in points; `about` are its languages and what was drawn once.

    Differences that are the same at each seed have no interval and no p. Only where they are zero, as of an exact
    transformation, is their interval one point, and the two agree.
    """
    interval, p = t_interval(differences), math.nan
    if interval.known:
        p = float(stats.ttest_1samp(differences, 0.0).pvalue)
    elif interval.n > 1 and abs(interval.mean) <= SAME:
        interval = replace(interval, low=interval.mean, high=interval.mean)
    return Comparison(interval, p, p, **about)
