"""Robustness: what noise, unseen names and attacks take from compressed models, and whether their confidence says so.

`table` is what `by_model` makes of the tidy tables of a study. Every model is compared with the dense model of the same
languages and seeds under the very same noise, which is drawn once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from smaller.comparison import AGREES, DEPARTURE, MARGIN, NOT_DECIDED, corrected, paired
from smaller.data.examples import Sentence
from smaller.data.noise import KINDS, affected, struck
from smaller.data.sets import ATTACK, EvaluationSet
from smaller.errors import SmallerError
from smaller.findings.finding import ANSWERED, Finding, missing
from smaller.findings.words import count_of
from smaller.statistics import Interval, of_split, one_kind, t_interval

DENSE = "dense"
SWAPS = "entities"
TYPING = tuple(kind for kind in KINDS if kind != SWAPS)
LEAST = 10.0
"""The clean F1, in points, below which a share of it says nothing."""

KEPT = {"clean F1": "clean", "F1 under noise": "f1", "points lost": "lost", "F1 kept (%)": "kept"}
PAIR = ["language", "seed"]
OWN, NOISE, ELSEWHERE = "own test set", "under noise", "other languages"
PLACES = {OWN: "on clean text", NOISE: "under noise", ELSEWHERE: "in other languages"}
NOISES, EDITS = ("the noise",), ("the edits tried",)
"""What all seeds and models share: each was drawn once."""


def by_model(tables: Mapping[str, pd.DataFrame], *, split: str = "test") -> pd.DataFrame:
    """One table of several for a split: `model` is the name of each; `home` marks what it was fine-tuned on."""
    if DENSE not in tables or not len(tables[DENSE]):
        raise SmallerError("There is no dense model in this study to compare the others with.")
    table = pd.concat([own.assign(model=name) for name, own in tables.items() if len(own)], ignore_index=True)
    home = table["dataset"].str.cat(table["language"], sep="/") == table["trained_on"]
    return one_kind(of_split(table.assign(home=home), split), "encoder")


def noise_sheet(sets: Iterable[EvaluationSet]) -> pd.DataFrame:
    """What each kind of noise does at each rate: the share of sentences that it changes, and the first change.

    A row for each kind and rate, over all languages of the sets; sets of other kinds are left out.
    """
    rows = []
    for place in (place for place in sets if place.noise in KINDS):
        clean, noisy = EvaluationSet(place.dataset, place.language, place.split).sentences(), place.sentences()
        rows.append({"noise": place.noise, "rate": place.rate, "strikes": affected(place.noise),
                     "language": place.language, "share": 100 * struck(clean, noisy),
                     "example": _example(clean, noisy)})  # fmt: skip
    sheet = pd.DataFrame(rows).groupby(["noise", "rate", "strikes"], sort=False, as_index=False)
    sheet = sheet.agg(languages=("language", "nunique"), share=("share", "mean"), example=("example", "first"))
    if len(codes := {row["language"] for row in rows}) == 1:
        sheet.attrs["languages"] = {"example": codes.pop()}
    return sheet.rename(columns={"share": "sentences struck (%)"})


def _example(clean: Sequence[Sentence], noisy: Sequence[Sentence]) -> str:
    """The first words that noise changes, before and after."""
    for pair in zip(clean, noisy, strict=True):
        for place, (old, new) in enumerate(zip(*(sentence.words for sentence in pair), strict=False)):
            if old != new:
                return " → ".join(" ".join(sentence.words[place : place + 2]) for sentence in pair)
    return "–"


def _shared(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of sets that every model of a language was scored on: means over other sets are not comparable."""
    scored = rows.groupby(["trained_on", "dataset", "language", "noise", "rate"])["model"].transform("nunique")
    return rows[scored == rows.groupby("trained_on")["model"].transform("nunique")]


def under_noise(table: pd.DataFrame) -> pd.DataFrame:
    """The rows with noise of the kinds of `data.noise`, each with the scores of the same model on clean text.

    `clean` is its F1 there and `clean_calibration` its calibration error; `lost` is what noise takes, in points, and
    `kept` what is left in per cent of the clean F1, missing where that is below `LEAST`. `strongest` marks the highest
    rate of a kind.
    """
    home, kept = table[table["home"]], {"f1": "clean", "calibration_error": "clean_calibration"}
    clean = home.loc[home["noise"] == "", ["model", *PAIR, *kept]].rename(columns=kept)
    rows = _shared(home[home["noise"].isin(KINDS)]).merge(clean, on=["model", *PAIR])
    if rows.empty:
        raise SmallerError("No model of this table was scored under noise: give study.run the sets of a noise grid.")
    return rows.assign(
        lost=rows["clean"] - rows["f1"],
        kept=(100 * rows["f1"] / rows["clean"]).where(rows["clean"] >= LEAST),
        strongest=rows["rate"] == rows.groupby(["language", "noise"])["rate"].transform("max"),
    )


def strongest(table: pd.DataFrame, kinds: Sequence[str] = TYPING) -> pd.DataFrame:
    """The rows of `under_noise` with noise of some kinds at their highest rates."""
    rows = under_noise(table)
    return rows[rows["strongest"] & rows["noise"].isin(kinds)]


def attacks(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the search for harmful edits, of models of the language; `rate` is its budget."""
    return table[table["home"] & (table["noise"] == ATTACK)]


def calibration(table: pd.DataFrame) -> pd.DataFrame:
    """Expected calibration error by model, language and seed: columns `place` (`OWN`, `NOISE`, `ELSEWHERE`), `error`.

    Of noise the mean over kinds of typing noise at their highest rate; of other languages that over labelled test sets
    that all models were scored on.
    """
    noisy, home = strongest(table), table["trained_on"].str.rpartition("/")[2]
    away = _shared(table[(table["noise"] == "") & (table["language"] != home)]).assign(language=home)
    errors = {OWN: noisy.assign(error=noisy["clean_calibration"]),
              NOISE: noisy.assign(error=noisy["calibration_error"]),
              ELSEWHERE: away.assign(error=away["calibration_error"])}  # fmt: skip
    rows = pd.concat(own.assign(place=place) for place, own in errors.items())
    return rows.groupby(["model", *PAIR, "place"], sort=False)["error"].mean().dropna().reset_index()


def by_seed(rows: pd.DataFrame, value: str, *, by: Sequence[str] = ("model",)) -> pd.DataFrame:
    """The mean of a column over languages, for each group of `by` and seed that has all languages of its group."""
    own = rows.groupby([*by, *PAIR], sort=False)[value].mean().dropna().reset_index()
    known = own.groupby([*by, "seed"])["language"].transform("nunique")
    own = own[known == own.groupby([*by])["language"].transform("nunique")]
    return own.groupby([*by, "seed"], sort=False)[value].mean().reset_index()


def over_seeds(rows: pd.DataFrame, value: str, *, by: str = "model") -> dict[str, Interval]:
    """The mean of a column for each model, with its t interval over seeds."""
    return {name: t_interval(own[value]) for name, own in by_seed(rows, value, by=[by]).groupby(by, sort=False)}


def against_dense(rows: pd.DataFrame, value: str, *, drawn_once: Sequence[str] = NOISES) -> pd.DataFrame:
    """A `comparison` of each compressed model with the dense one; of several kinds of noise the mean counts."""
    dense = rows["model"] == DENSE
    return paired(rows[~dense], rows[dense], by=["model"], value=value, one_for_all=True, drawn_once=drawn_once)


def by_kind(table: pd.DataFrame) -> pd.DataFrame:
    """A `comparison` in F1 kept for each kind of noise, rate and compressed model, corrected for all of them at once.

    `dense` is the share that the dense model keeps, and `strongest` marks the highest rate of a kind.
    """
    parts = [
        against_dense(own, "kept").assign(noise=kind, rate=rate, languages=own["language"].nunique(),
                                          dense=over_seeds(own, "kept").get(DENSE), strongest=own["strongest"].any())
        for (kind, rate), own in under_noise(table).groupby(["noise", "rate"])
    ]  # fmt: skip
    found = corrected(pd.concat(parts, ignore_index=True))
    return found.sort_values("noise", key=lambda kinds: kinds.map(list(KINDS).index), kind="stable")


def noise_by_kind(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each kind of noise and rate: F1 that the dense model keeps, and the verdicts of `by_kind` counted."""
    lines = []
    for (kind, rate), own in by_kind(table).groupby(["noise", "rate"], sort=False):
        lowest = min(own.itertuples(), key=lambda row: row.comparison.interval.mean)
        signs = own["comparison"].map(lambda one: one.sign)
        lines.append({
            "noise": kind, "rate": rate, "languages": lowest.languages, "dense F1 kept (%)": lowest.dense,
            "models": len(own), "keep less": (signs < 0).sum(), "keep more": (signs > 0).sum(),
            "agree": (own["verdict"] == AGREES).sum(), "lowest": lowest.model, "lowest, minus dense": lowest.comparison,
        })  # fmt: skip
    return pd.DataFrame(lines)


def beside_dense(rows: pd.DataFrame, columns: Mapping[str, str] = KEPT, **drawn: Sequence[str]) -> pd.DataFrame:
    """A row for each model: the interval of each column over seeds, and the last column beside the dense model."""
    means = {header: over_seeds(rows, column) for header, column in columns.items()}
    *_, last = columns
    change = against_dense(rows, columns[last], **drawn).set_index("model")["comparison"]
    return pd.DataFrame(
        {"model": model} | {header: own.get(model) for header, own in means.items()}
        | {f"{last}, minus dense": change.get(model)} for model in dict.fromkeys(rows["model"])
    )  # fmt: skip


def attacks_by_model(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each budget and model: F1 before and after, and what random edits and the search break."""
    columns = {"F1 before": "f1_before", "F1 under attack": "f1", "edits": "attack_edits",
               "broken at random (%)": "random_success", "broken (%)": "attack_success"}  # fmt: skip
    found = {100 * rate: beside_dense(own, columns, drawn_once=EDITS) for rate, own in attacks(table).groupby("rate")}
    return pd.concat(found, names=["budget (% of letters)"]).reset_index(0) if found else pd.DataFrame()


def calibration_by_model(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each model: calibration error at home, under noise and in other languages, beside the dense model."""
    parts = [beside_dense(own, {place: "error"}, drawn_once=NOISES if place == NOISE else ()).set_index("model")
             for place, own in calibration(table).groupby("place", sort=False)]  # fmt: skip
    return pd.concat(parts, axis="columns").reset_index()


def brittle(table: pd.DataFrame) -> Finding:
    """Does a compressed model keep a smaller share of its F1 under the strongest typing noise than the dense model?"""
    told = "Under the strongest noise of each kind, the dense model keeps {:.1f} % of its clean F1."
    worse = "to keep a smaller share of F1 under typing noise than the dense model"
    return _judged(strongest(table), "kept", -1, worse, told) or missing("compressed models under typing noise")


def swaps(table: pd.DataFrame) -> Finding:
    """Does a compressed model lean more on names that it has seen than the dense model?"""
    told = "With every name replaced by an unseen one, the dense model keeps {:.1f} % of its clean F1."
    worse = "to keep a smaller share of F1 on unseen names than the dense model"
    return _judged(strongest(table, [SWAPS]), "kept", -1, worse, told) or missing("compressed models on unseen names")


def attacked(table: pd.DataFrame) -> Finding:
    """Does a search for harmful edits break compressed models more often than the dense one, at its largest budget?"""
    rows = attacks(table)
    rows = rows[rows["rate"] == rows["rate"].max()]
    dense = rows[rows["model"] == DENSE]
    random = dense.assign(attack_success=dense["random_success"])
    chance = list(paired(dense, random, value="attack_success", drawn_once=EDITS)["comparison"])
    told = (f"With edits to at most {100 * rows['rate'].max():g} % of a sentence's letters, the search breaks {{:.0f}} "
            "% of the sentences that the dense model tags correctly. Minus what as many random edits break, this is "
            f"{', '.join(map(str, chance))}.")  # fmt: skip
    worse = "to be easier to attack than the dense model"
    found = _judged(rows, "attack_success", 1, worse, told, drawn_once=EDITS)
    return replace(found, values={**found.values, "minus chance": chance[0]}) if found else missing("attacks on models")


def calibrated(table: pd.DataFrame) -> Finding:
    """Is a compressed model worse calibrated under the strongest typing noise than the dense model?"""
    errors = calibration(table)
    told = "The calibration error of the dense model is {:.1f} points there."
    worse = "to be worse calibrated under typing noise than the dense model"
    found = _judged(errors[errors["place"] == NOISE], "error", 1, worse, told)
    return found or missing("calibration errors of compressed models")


def _judged(
    rows: pd.DataFrame, value: str, sign: int, worse: str, told: str, *, drawn_once: Sequence[str] = NOISES
) -> Finding | None:
    """Whether any compressed model is shown to be worse than the dense one, corrected for all; None without any.

    `sign` is that of a change for the worse, `worse` says it in words; `told` has a place for the dense model's mean.
    """
    compared = against_dense(rows, value, drawn_once=drawn_once)
    if compared.empty:
        return None
    found = dict(zip(compared["model"], compared["comparison"], strict=True))
    behind, ahead = ([model for model, one in found.items() if one.sign == side] for side in (sign, -sign))
    same = [model for model, one in found.items() if one.verdict == AGREES]
    unsure = [model for model in found if model not in (*behind, *ahead, *same)]
    safe = [model for model, one in found.items() if one.interval.known
            and max(sign * one.interval.low, sign * one.interval.high) < DEPARTURE]  # fmt: skip
    furthest = max(found, key=lambda model: sign * found[model].interval.mean)
    dense = over_seeds(rows, value)[DENSE]
    models, comparisons = count_of(len(found), "compressed model"), count_of(len(found), "comparison")
    return Finding(
        f"{len(behind) or 'None'} of {models} {'are' if len(behind) > 1 else 'is'} shown {worse}; "
        f"{len(unsure)} {'is' if len(unsure) == 1 else 'are'} not decided.",
        f"{told.format(dense.mean)} Agreement with it within {MARGIN:g} points is shown for {len(same)} of "
        f"{models}, and a change for the better for {len(ahead)} (paired by seed, corrected for {comparisons}). Single "
        f"intervals exclude a change for the worse of {DEPARTURE:g} points or more for {len(safe)}. The mean of "
        f"{furthest} is the furthest behind: {found[furthest]}.",
        values={"compared": compared, "worse": behind, "better": ahead, "same": same, "not decided": unsure,
                "safe": safe, "furthest": furthest, "dense": dense},
        verdict=NOT_DECIDED if unsure and not behind else ANSWERED,
    )  # fmt: skip


def says_so(table: pd.DataFrame) -> Finding:
    """Does the confidence of the dense model fall as far as its accuracy where typing noise misleads it?"""
    errors = calibration(table).query("model == @DENSE")
    noisy, clean = (errors[errors["place"] == place] for place in (NOISE, OWN))
    change = next(iter(paired(noisy, clean, value="error", drawn_once=NOISES)["comparison"]), None)
    if change is None:
        return missing("calibration errors of the dense model")
    unchanged = "does not change" if change.verdict == AGREES else "is not shown to change"
    verb = {1: "raises", -1: "lowers"}.get(change.sign, unchanged)
    known = over_seeds(errors, "error", by="place")
    told = ", ".join(f"{error.mean:.1f} points {PLACES[place]}" for place, error in known.items())
    return Finding(f"Typing noise {verb} the calibration error of the dense model: {change}.",
                   f"Calibration error is the distance of confidence from accuracy; it is {told}.",
                   quantity=change, values={"errors": known})  # fmt: skip


def claims(table: pd.DataFrame) -> dict[str, list[Finding]]:
    """What this page says of the next check that a paper left open; no paper prints a number for it."""
    return {"NC3": [find(table) for find in (brittle, swaps, attacked, says_so, calibrated)]}
