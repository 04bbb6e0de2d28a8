"""One comparison, and one rule for what it shows: the languages of a study are fixed, its seeds are the sample.

`paired` compares two selections of the tidy table seed by seed. Its verdicts are those of `VERDICTS`, and every
sentence of the study that says that something differs, or that nothing is lost, rests on one of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import pandas as pd
from scipy import stats

from smaller.analysis import sentences
from smaller.analysis.statistics import Interval, holm, t_interval
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


@dataclass(frozen=True)
class Comparison:
    """The mean difference of two models in points over seeds, and what it shows.

    `interval` is a t interval over seeds, of differences that are averaged over `languages` first: seeds are what was
    drawn, so its n counts them. `p` is of the paired t test, `corrected` by Holm over the `of` comparisons made
    together. `drawn_once` names what all seeds share (a corpus distillation, an adaptation): no interval covers it.
    """

    interval: Interval
    p: float = math.nan
    corrected: float = math.nan
    of: int = 1
    languages: tuple[str, ...] = ()
    drawn_once: tuple[str, ...] = ()
    margin: float = MARGIN

    @property
    def verdict(self) -> str:
        """One of `VERDICTS`: "agrees" inside the margin, "differs" where the corrected p is below 0.05, else undecided.

        With one seed nothing is decided; with none nothing is measured.
        """
        if self.interval.n == 0:
            return NOT_MEASURED
        if not self.interval.known:
            return NOT_DECIDED
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
        if self.interval.n == 0:
            return NOT_MEASURED
        if not self.interval.known:
            return NOT_DECIDED
        if self.interval.high <= -by:
            return AGREES
        return DIFFERS if self.interval.low > -by else NOT_DECIDED

    def bears_out(self, says: str) -> str:
        """The verdict on a claim that the first is "more", "less", or the "same" as the second."""
        if says not in ("more", "less", "same"):
            raise SmallerError(f"A claim says more, less or same; {says!r} is none of them.")
        if self.verdict in (NOT_MEASURED, NOT_DECIDED):
            return self.verdict
        return AGREES if says == self.words("more", "less", "same", "") else DIFFERS

    def excludes(self) -> str:
        """A sentence on what an undecided comparison still rules out."""
        if not self.interval.known:
            return "One seed has no interval, so nothing is excluded."
        gain, loss = max(self.interval.high, 0.0), max(-self.interval.low, 0.0)
        return f"The interval excludes a gain above {gain:.1f} and a loss above {loss:.1f} points."

    def __str__(self) -> str:
        if self.interval.n == 0:
            return NOT_MEASURED
        seeds = f"{self.interval.n} seed{'s' * (self.interval.n != 1)}"
        languages = f", {len(self.languages)} languages" if len(self.languages) > 1 else ""
        bounds, p = "", ", no interval"
        if self.interval.known:
            bounds = f" [{self.interval.low:.1f}, {self.interval.high:.1f}]"
            p = ", p < 0.001" if self.corrected < 0.001 else f", p = {self.corrected:.3f}"
        once = f"; drawn once: {', '.join(self.drawn_once)}" if self.drawn_once else ""
        # Adding zero turns -0.0, which rounding leaves of small losses, into 0.0.
        return f"{round(self.interval.mean, 1) + 0.0:+.1f} points{bounds}, {seeds}{languages}{p}{once}"


def differences(
    first: pd.DataFrame,
    second: pd.DataFrame,
    *,
    by: Sequence[str] = (),
    match: Sequence[str] = (),
    for_all: Sequence[str] = (),
    value: str = "f1",
) -> pd.DataFrame:
    """`value` of `first` minus `second` at each seed, for each group of `by`: columns `by`, seed, `value`, languages.

    Rows are paired where `by`, `match`, language and seed are the same. Of the columns in `for_all`, which are some of
    these, the second knows nothing: it stands beside each of their values, as the dense model beside each sparsity.
    Differences are averaged over `match` in each language, then over languages. A seed that lacks a pair which its
    group has at another seed is NaN, since averages over different things are no pair. Several rows that are one pair
    raise SmallerError: what sets them apart has to be in `by` or in `match`.
    """
    keys = list(dict.fromkeys([*by, *match, "language", "seed"]))
    on = [key for key in keys if key not in for_all]
    sides = []
    for frame, wanted, name in ((first, keys, "first"), (second, on, "second")):
        if missing := [column for column in [*wanted, value] if column not in frame]:
            raise SmallerError(f"The {name} table has no column {', '.join(missing)}, which this comparison needs.")
        sides.append(frame[[*wanted, value]].dropna(subset=value))
        if (twice := sides[-1].duplicated(wanted)).any():
            one = ", ".join(f"{key} {told}" for key, told in sides[-1].loc[twice, wanted].iloc[0].items())
            raise SmallerError(
                f"Several rows of the {name} table are one pair ({one}). Filter the table, or name what sets them "
                "apart in `by` or `match`."
            )
    both = sides[0].merge(sides[1].rename(columns={value: "_second"}), on=on)
    both = both.assign(**{value: both[value] - both["_second"]}, _all=0)
    group = ["_all", *by]
    cells = both.drop_duplicates([*group, *match, "language"])[list(dict.fromkeys([*group, "language"]))]
    cells = cells.assign(languages=cells["language"]).groupby(group, sort=False, dropna=False)["languages"]
    cells = cells.agg(wanted="size", languages=lambda codes: tuple(sorted(set(map(str, codes))))).reset_index()
    seeds = both.groupby(list(dict.fromkeys([*group, "seed", "language"])), sort=False, dropna=False)[value]
    seeds = seeds.agg(["mean", "size"]).groupby([*group, "seed"], sort=False, dropna=False)
    found = seeds.agg({"mean": "mean", "size": "sum"}).reset_index().merge(cells, on=group)
    found[value] = found["mean"].where(found["size"] == found["wanted"])
    return found[[*by, "seed", value, "languages"]]


def paired(
    first: pd.DataFrame,
    second: pd.DataFrame,
    *,
    by: Sequence[str] = (),
    match: Sequence[str] = (),
    for_all: Sequence[str] = (),
    value: str = "f1",
    drawn_once: Iterable[str] = (),
    over_sentences: bool = False,
) -> pd.DataFrame:
    """`value` of `first` minus `second` for each group of `by`, paired by seed: a row for each, with its `comparison`.

    What is a pair, and what `match` and `for_all` are, stands at `differences`. `drawn_once` is written down with each
    comparison. The p values are corrected for the number of groups. With `over_sentences` there is a column of that
    name: the interval of the same difference by a paired bootstrap over the sentences of the test split.
    """
    each, once = differences(first, second, by=by, match=match, for_all=for_all, value=value), tuple(drawn_once)
    rows = []
    for names, own in each.groupby(list(by), sort=False, dropna=False) if by else [((), each)]:
        languages = own["languages"].iloc[0] if len(own) else ()
        comparison = between(own[value].dropna().to_numpy(), languages=languages, drawn_once=once)
        rows.append(dict(zip(by, names, strict=True)) | {"comparison": comparison})
    found = corrected(pd.DataFrame(rows, columns=[*by, "comparison"]))
    if over_sentences:
        drawn = sentences.by_group(first, second, by=by, for_all=for_all)
        found[OVER_SENTENCES] = [drawn[names] for names in found[list(by)].itertuples(index=False, name=None)]
    return found


def corrected(found: pd.DataFrame) -> pd.DataFrame:
    """The comparisons of a table, whose p values Holm's procedure has corrected for the number of them all."""
    tested = [one for one in found["comparison"] if not math.isnan(one.p)]
    ps = iter(holm([one.p for one in tested]))
    told = [
        one if math.isnan(one.p) else replace(one, corrected=next(ps), of=len(tested)) for one in found["comparison"]
    ]
    return found.assign(comparison=told, verdict=[one.verdict for one in told])


def between(
    differences: Sequence[float], *, languages: tuple[str, ...] = (), drawn_once: tuple[str, ...] = ()
) -> Comparison:
    """The comparison that one difference a seed makes, in points."""
    interval = t_interval(differences)
    p = math.nan
    if interval.known:
        # Seeds that agree but for rounding leave no doubt, and no t value.
        spread = interval.high - interval.low > 1e-9
        p = float(stats.ttest_1samp(differences, 0.0).pvalue) if spread else float(abs(interval.mean) < 1e-9)
    return Comparison(interval, p, p, 1, languages, drawn_once)
