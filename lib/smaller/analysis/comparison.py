"""One comparison, and one rule for what it shows: the languages of a study are fixed, its seeds are the sample.

Every sentence of the study that says that something differs, or that nothing is lost, rests on a verdict of `paired`.
"""

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

    `interval` is a t interval over seeds, of differences that are averaged over `languages` first. `p` is of the paired
    t test, `corrected` by Holm over the `of` comparisons made together. `drawn_once` names what all seeds share (a
    corpus distillation, an adaptation): no interval covers it.
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
        """It agrees inside the margin, differs with a corrected p below 0.05, else (as with one seed) is undecided."""
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

    Rows are paired where `by`, `match`, language and seed are the same, but for the columns of these in `for_all`, of
    which the second knows nothing, as the dense model of sparsity. Differences are averaged over `match` in each
    language, then over languages. A seed that lacks a pair of its group is NaN. Several rows that are one pair raise
    SmallerError.
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
    both = sides[0].merge(sides[1].rename(columns={value: "_second"}), on=on).assign(_all=0)
    both[value] -= both["_second"]
    group = ["_all", *by]
    cells = both.drop_duplicates([*group, *match, "language"]).assign(languages=lambda own: own["language"])
    cells = cells.groupby(group, sort=False, dropna=False)["languages"]
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
    drawn_once: Iterable[str] = (),
    over_sentences: bool = False,
    **pairs: object,
) -> pd.DataFrame:
    """`value` of `first` minus `second` for each group of `by`, paired by seed: a row for each, with its `comparison`.

    `pairs` are `match`, `for_all` and `value` of `differences`, which says what a pair is. The p values are corrected
    for the number of groups. With `over_sentences` there is a column of that name: the interval of the same difference
    by a paired bootstrap over the sentences of the test split.
    """
    each, rows = differences(first, second, by=by, **pairs), []
    value, once = pairs.get("value", "f1"), tuple(drawn_once)
    for names, own in each.groupby(list(by), sort=False, dropna=False) if by else [((), each)]:
        languages = own["languages"].iloc[0] if len(own) else ()
        comparison = between(own[value].dropna().to_numpy(), languages=languages, drawn_once=once)
        rows.append([*names, comparison])
    found = corrected(pd.DataFrame(rows, columns=[*by, "comparison"]))
    if over_sentences:
        drawn = sentences.by_group(first, second, by=by, for_all=pairs.get("for_all", ()))
        found[OVER_SENTENCES] = [drawn[names] for names in found[list(by)].itertuples(index=False, name=None)]
    return found


def against(rows: pd.DataFrame, whole: pd.Series, *, by: Sequence[str], **about: object) -> pd.DataFrame:
    """Rows where `whole` is false `paired` with those where it is true, to which `for_all` (else `by`) is unknown."""
    return paired(rows[~whole], rows[whole], by=by, **{"for_all": by} | about).set_index(list(by))


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
