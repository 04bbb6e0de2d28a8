"""Answers on robustness: F1 of compressed models under noise, beside the dense model under the same noise.

`table` is what `by_model` makes of the tidy tables of a study. A model's name is its technique and, behind a comma, its
strength. Pairs are models of one language and seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from smaller.data.examples import Sentence
from smaller.data.noise import KINDS, affected, struck
from smaller.data.sets import ATTACK, EvaluationSet
from smaller.errors import SmallerError
from smaller.findings.cells import give_or_take, in_points
from smaller.findings.words import count_of
from smaller.statistics import Interval, of_split, one_kind, paired_difference, simultaneous, t_interval

DENSE = "dense"
SWAPS = "entities"
TYPING = tuple(kind for kind in KINDS if kind != SWAPS)
LEAST = 10.0
"""The clean F1, in points, below which a model has too little for a share of it to say anything."""

MARGIN = 5.0
"""Points of the share that is kept: an interval that reaches further down leaves open whether the model is brittle."""

PAIR = ["language", "seed"]


def by_model(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One table of several, with the columns `model` and `family`: the name of each table, whole and to its comma."""
    if DENSE not in tables or not len(tables[DENSE]):
        raise SmallerError("There is no dense model in this study, beside which the others could stand.")
    parts = [table.assign(model=name, family=name.partition(",")[0]) for name, table in tables.items() if len(table)]
    return pd.concat(parts, ignore_index=True)


def noise_sheet(sets: Iterable[EvaluationSet]) -> pd.DataFrame:
    """What each kind of noise does at each rate: the sentences that it strikes, and the first that it changes.

    A row for each kind and rate, over all languages of the sets; sets of other kinds are left out.
    """
    lines: dict[tuple[str, float], dict] = {}
    codes = set()
    for place in sets:
        if place.noise in KINDS:
            codes.add(place.language)
            clean = EvaluationSet(place.dataset, place.language, place.split).sentences()
            noisy = place.sentences()
            line = lines.setdefault((place.noise, place.rate), {"struck": [], "example": _example(clean, noisy)})
            line["struck"].append(100 * struck(clean, noisy))
    sheet = pd.DataFrame(
        {"noise": kind, "rate": rate, "strikes": affected(kind), "languages": len(line["struck"]),
         "sentences struck (%)": sum(line["struck"]) / len(line["struck"]), "example": line["example"]}
        for (kind, rate), line in lines.items()
    )  # fmt: skip
    if len(codes) == 1:
        sheet.attrs["languages"] = {"example": codes.pop()}
    return sheet


def _example(clean: Sequence[Sentence], noisy: Sequence[Sentence]) -> str:
    """The first words that noise changes, before and after."""
    for old, new in zip(clean, noisy, strict=True):
        for place, words in enumerate(zip(old.words, new.words, strict=False)):
            if words[0] != words[1]:
                return " → ".join(" ".join(sentence.words[place : place + 2]) for sentence in (old, new))
    return "–"


def at_home(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """The rows of a split of the language and data set that each model was fine-tuned on, clean and with noise."""
    rows = one_kind(of_split(table, split), "encoder")
    return rows[rows["dataset"].str.cat(rows["language"], sep="/") == rows["trained_on"]]


def under_noise(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """The rows with noise of the kinds of `data.noise`, and beside each the same model on clean text.

    `clean` is its F1 there and `clean_calibration` its calibration error; `lost` is what noise takes, in points, and
    `kept` what is left in per cent of the clean F1, missing where that is below `LEAST`. `level` counts the rates of a
    kind from 1, the mildest; `strongest` marks the last.
    """
    home = at_home(table, split=split)
    clean = home.loc[home["noise"] == "", ["model", *PAIR, "f1", "calibration_error"]]
    clean = clean.rename(columns={"f1": "clean", "calibration_error": "clean_calibration"})
    rows = home[home["noise"].isin(KINDS)].merge(clean, on=["model", *PAIR])
    if rows.empty:
        raise SmallerError("No model of this table was scored under noise: give study.run the sets of a noise grid.")
    level = rows.groupby(["language", "noise"])["rate"].rank(method="dense").astype(int)
    return rows.assign(
        lost=rows["clean"] - rows["f1"],
        kept=(100 * rows["f1"] / rows["clean"]).where(rows["clean"] >= LEAST),
        level=level,
        strongest=level == level.groupby([rows["language"], rows["noise"]]).transform("max"),
    )


def beside_dense(rows: pd.DataFrame, column: str) -> dict[str, tuple[Interval, Interval]]:
    """For each model the mean of a column over seeds, and its paired change against the dense model.

    Of rows of one model, language and seed (kinds of noise, say) the mean counts. The change of the dense model itself
    is that of nothing, with n = 0.
    """
    wide = rows.pivot_table(index=PAIR, columns="model", values=column)
    found = {}
    for model in dict.fromkeys(rows["model"]):
        if model in wide:
            alone = model == DENSE or DENSE not in wide
            change = t_interval([]) if alone else paired_difference(wide[model], wide[DENSE])
            found[model] = (t_interval(wide[model].groupby("seed").mean()), change)
    return found


def noise_by_model(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """A row for each model: F1 clean and under the strongest typing noise, and what it keeps, beside the dense model.

    Means over kinds of noise and languages, with half the t interval over seeds; changes with that over pairs, which n
    counts. `ratio of losses`: points lost, divided by those that the dense model loses.
    """
    rows = under_noise(table, split=split)
    rows = rows[rows["strongest"] & rows["noise"].isin(TYPING)]
    found = {column: beside_dense(rows, column) for column in ("clean", "f1", "lost", "kept")}
    dense = found["lost"][DENSE][0].mean
    return pd.DataFrame(
        {
            "model": model,
            "clean F1": give_or_take(found["clean"][model][0], 1),
            "F1 under noise": give_or_take(found["f1"][model][0], 1),
            "ratio of losses": found["lost"][model][0].mean / dense if dense else math.nan,
            "F1 kept (%)": give_or_take(found["kept"][model][0], 1) if model in found["kept"] else "–",
            "kept, against dense": _change(found["kept"], model),
            "n": len(_pairs(rows, model)),
        }
        for model in found["f1"]
    )


def noise_by_kind(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """A row for each kind of noise and rate: F1 kept by the dense model, and by the compressed ones beside it.

    `keep less` and `keep more` count the compressed models whose interval of the paired change lies on one side of
    zero; `least` and `most` name the ends, with their changes in points of the share that is kept.
    """
    lines = []
    for (kind, rate), own in under_noise(table, split=split).groupby(["noise", "rate"], sort=False):
        found = beside_dense(own, "kept")
        changes = {model: change for model, (_, change) in found.items() if change.n}
        line = {"noise": kind, "rate": rate, "languages": own["language"].nunique()}
        line |= {"dense F1 kept (%)": give_or_take(found[DENSE][0], 1) if DENSE in found else "–"}
        less, more = _sides(changes)
        line |= {"keep less": f"{less} of {len(changes)}", "keep more": f"{more} of {len(changes)}"}
        for name, choose in (("least", min), ("most", max)):
            model = choose(changes, key=lambda each: changes[each].mean) if changes else ""
            line[name] = f"{model} ({give_or_take(changes[model], 1, sign='+')})" if model else "–"
        lines.append(line)
    order = {kind: place for place, kind in enumerate(KINDS)}
    return pd.DataFrame(lines).sort_values(["noise", "rate"], key=lambda column: column.map(order).fillna(column))


def swaps_by_model(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """A row for each model: clean F1, F1 when names give way to names not seen in training, and what it keeps."""
    rows = _swapped(table, split=split)
    found = {column: beside_dense(rows, column) for column in ("clean", "f1", "kept")}
    return pd.DataFrame(
        {
            "model": model,
            "clean F1": give_or_take(found["clean"][model][0], 1),
            "F1 with unseen names": give_or_take(found["f1"][model][0], 1),
            "F1 kept (%)": give_or_take(found["kept"][model][0], 1) if model in found["kept"] else "–",
            "kept, against dense": _change(found["kept"], model),
            "n": len(_pairs(rows, model)),
        }
        for model in found["f1"]
    )


def attacks(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """The rows of the search for harmful edits, of models of the language; `rate` is its budget."""
    home = at_home(table, split=split)
    return home[home["noise"] == ATTACK]


def attacks_by_model(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """A row for each model and budget: how many of the rightly tagged sentences the search breaks, and chance does."""
    lines = []
    for rate, own in attacks(table, split=split).groupby("rate"):
        found = {name: beside_dense(own, name) for name in ("attack_success", "random_success", "f1_before", "f1")}
        edits = own.groupby("model")["attack_edits"].mean()
        lines += [
            {
                "budget (% of letters)": 100 * rate,
                "model": model,
                "F1 before": found["f1_before"][model][0].mean,
                "F1 under attack": found["f1"][model][0].mean,
                "broken (%)": give_or_take(found["attack_success"][model][0], 1),
                "against dense": _change(found["attack_success"], model),
                "broken at random (%)": found["random_success"][model][0].mean,
                "edits": edits[model],
                "n": len(_pairs(own, model)),
            }
            for model in found["attack_success"]
        ]
    return pd.DataFrame(lines)


def brittle(table: pd.DataFrame, *, split: str = "test") -> str:
    """Does compression make a model brittle (NC3)? By F1 kept under the strongest typing noise, kinds taken alike."""
    rows = under_noise(table, split=split)
    found = beside_dense(rows[rows["strongest"] & rows["noise"].isin(TYPING)], "kept")
    return _verdict(
        found,
        does="makes the model brittle under typing noise",
        does_not="does not make the model brittle under typing noise",
        unit="of its clean F1 under the strongest noise",
    )


def swaps(table: pd.DataFrame, *, split: str = "test") -> str:
    """Do compressed models lean more on names that they know?"""
    found = beside_dense(_swapped(table, split=split), "kept")
    return _verdict(
        found,
        does="makes the model lean more on names that it has seen",
        does_not="does not make the model lean more on names that it has seen",
        unit="of its clean F1 when names give way to unseen ones",
    )


def attacked(table: pd.DataFrame, *, split: str = "test") -> str:
    """How easily a search for typing errors breaks the models, and whether compression helps it."""
    rows = attacks(table, split=split)
    budget = rows["rate"].max()
    own = rows[rows["rate"] == budget]
    found = beside_dense(own, "attack_success")
    if DENSE not in found:
        return "A search for harmful edits was not run, or the dense model tagged no sentence rightly."
    chance = beside_dense(own, "random_success")[DENSE][0].mean
    changes = {model: change for model, (_, change) in found.items() if change.n}
    fewer, more = _sides(changes)
    text = (
        f"With edits to at most {100 * budget:g} % of a sentence's letters, a search that sees nothing but "
        f"probabilities breaks {found[DENSE][0].mean:.0f} % of the sentences that the dense model tags rightly; as "
        f"many random edits break {chance:.0f} %."
    )
    if not changes:
        return text
    worst = max(changes, key=lambda model: changes[model].mean)
    return (
        f"{text} Of {count_of(len(changes), 'compressed model')}, {more} break more easily than the dense model and "
        f"{fewer} less, by the 95 % intervals of the paired difference; furthest from it is {worst}, "
        f"{in_points(changes[worst])}."
    )


def _verdict(found: Mapping[str, tuple[Interval, Interval]], *, does: str, does_not: str, unit: str) -> str:
    changes = {model: change for model, (_, change) in found.items() if change.n}
    if not changes:
        return f"What a compressed model keeps {unit} was not measured beside the dense model."
    known = [change for change in changes.values() if change.known]
    less, more = _sides(changes)
    worst = min(changes, key=lambda model: changes[model].mean)
    wide = sum(change.low < -MARGIN for change in known)
    sure = sum(simultaneous(change, of=len(known)).high < 0 for change in known)
    verdict = f"Compression {does}{' in some forms' * (sure < len(known))}" if sure else f"Compression {does_not}"
    if less and not sure:
        verdict = (
            f"Whether compression {does} stays open, as no interval that holds for all {len(known)} at once lies low"
        )
    elif wide and not less:
        verdict = f"Whether compression {does} stays open, as {wide} of the intervals reach below -{MARGIN:g} points"
    if not known:
        return (
            f"One pair of language and seed has no interval, so this stays open: the dense model keeps "
            f"{found[DENSE][0].mean:.1f} % {unit}, {worst} {found[worst][0].mean:.1f} %."
        )
    return (
        f"{verdict}: the dense model keeps {found[DENSE][0].mean:.1f} % {unit}; of "
        f"{count_of(len(changes), 'compressed model')}, {less} {'keeps' if less == 1 else 'keep'} less and {more} "
        f"more, by the 95 % intervals of the paired difference. Lowest stands {worst}: {in_points(changes[worst])}. "
        f"With intervals that hold for all {len(known)} at once, {sure} {'keeps' if sure == 1 else 'keep'} less."
    )


def _swapped(table: pd.DataFrame, *, split: str) -> pd.DataFrame:
    rows = under_noise(table, split=split)
    return rows[rows["strongest"] & (rows["noise"] == SWAPS)]


def _sides(changes: Mapping[str, Interval]) -> tuple[int, int]:
    """How many intervals lie below zero, and how many above."""
    below = sum(change.known and change.high < 0 for change in changes.values())
    return below, sum(change.known and change.low > 0 for change in changes.values())


def _change(found: Mapping[str, tuple[Interval, Interval]], model: str) -> str:
    return give_or_take(found[model][1], 1, sign="+") if model in found and model != DENSE else "–"


def _pairs(rows: pd.DataFrame, model: str) -> pd.DataFrame:
    return rows.loc[rows["model"] == model, PAIR].drop_duplicates()
