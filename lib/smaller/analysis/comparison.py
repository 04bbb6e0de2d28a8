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
        found = {1: "more", -1: "less", 0: "same"}[self.sign]
        return AGREES if found == says else DIFFERS

    def excludes(self) -> str:
        """What an undecided comparison still rules out: "a gain above 1.2 and a loss above 0.4 points"."""
        if not self.interval.known:
            return "nothing"
        gain, loss = max(self.interval.high, 0.0), max(-self.interval.low, 0.0)
        return f"a gain above {gain:.1f} and a loss above {loss:.1f} points"

    def __str__(self) -> str:
        if self.interval.n == 0:
            return NOT_MEASURED
        seeds = f"{self.interval.n} seed{'s' * (self.interval.n != 1)}"
        languages = f", {len(self.languages)} languages" if len(self.languages) > 1 else ""
        bounds = f" [{self.interval.low:.1f}, {self.interval.high:.1f}]" if self.interval.known else ""
        p = f", p = {self.corrected:.3f}" if self.interval.known else ", no interval"
        once = f"; drawn once: {', '.join(self.drawn_once)}" if self.drawn_once else ""
        # Adding zero turns -0.0, which rounding leaves of small losses, into 0.0.
        return f"{round(self.interval.mean, 1) + 0.0:+.1f} points{bounds}, {seeds}{languages}{p}{once}"


def paired(
    first: pd.DataFrame,
    second: pd.DataFrame,
    *,
    by: Sequence[str] = (),
    value: str = "f1",
    fixed: str = "language",
    pair: str = "seed",
    drawn_once: Iterable[str] = (),
    one_for_all: bool = False,
) -> pd.DataFrame:
    """`value` of `first` minus `second` for each group of `by`, paired by seed: a row for each, with its `comparison`.

    Rows are matched where `by`, language and seed are the same; several rows of one match are averaged. A seed counts
    where it has every language that the group has at all, since averages over different languages are no pair. With
    `one_for_all` every group is compared with all of `second`, which need not have the columns of `by` (the dense
    model, say). `drawn_once` is written down with each comparison. The p values are corrected for the number of groups.
    """
    keys = [*by, fixed, pair]
    needed = {"first": [*keys, value], "second": [fixed, pair, value] if one_for_all else [*keys, value]}
    for frame, name in ((first, "first"), (second, "second")):
        if missing := [column for column in needed[name] if column not in frame]:
            raise SmallerError(f"The {name} table has no column {', '.join(missing)}, which this comparison needs.")
    ours = first.groupby(keys, dropna=False, sort=False)[value].mean().reset_index()
    on = [fixed, pair] if one_for_all else keys
    theirs = second.groupby(on, dropna=False)[value].mean().rename("_other").reset_index()
    both = ours.merge(theirs, on=on)
    difference = both.assign(**{value: both[value] - both["_other"]}).dropna(subset=value)
    rows = []
    groups = difference.groupby(list(by), sort=False, dropna=False) if by else [((), difference)]
    for names, own in groups:
        languages = tuple(sorted(map(str, own[fixed].unique())))
        seeds = own.groupby(pair)[value].agg(["mean", "count"])
        differences = seeds.loc[seeds["count"] == len(languages), "mean"].to_numpy()
        about = dict(zip(by, names if isinstance(names, tuple) else (names,), strict=True))
        rows.append(about | {"comparison": between(differences, languages=languages, drawn_once=tuple(drawn_once))})
    return corrected(pd.DataFrame(rows, columns=[*by, "comparison"]))


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
