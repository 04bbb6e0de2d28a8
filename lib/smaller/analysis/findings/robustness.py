"""Robustness: what noise, unseen names and attacks take from compressed models, and whether their confidence says so.

`table` is what `by_model` makes. Models are compared under the very same noise, which is drawn once.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from smaller.analysis.comparison import DEPARTURE, NOT_DECIDED, OVER_SENTENCES, against, made, outward, paired
from smaller.analysis.findings.finding import ANSWERED, Finding, missing
from smaller.analysis.findings.transfer import at_own_set
from smaller.analysis.statistics import by_seed, describe, of_split, one_kind, over_seeds, t_interval
from smaller.base.checks import require
from smaller.base.words import count_of, some_of
from smaller.data.noise import KINDS, SWAPS, TYPING
from smaller.data.sets import ATTACK
from smaller.study.without_labels import DENSE, OWN

LEAST = 10.0
"""The clean F1, in points, below which a share of it says nothing."""

KEPT = {"clean F1": "clean", "F1 under noise": "f1", "points lost": "lost", "F1 kept (%)": "kept"}
PAIR = ["language", "seed"]
_, NOISE, ELSEWHERE = PLACES = (OWN, "under noise", "other languages")
NOISES, EDITS = ("the noise",), ("the edits tried",)
"""What all seeds and models share: each was drawn once."""


def by_model(table: pd.DataFrame) -> pd.DataFrame:
    """The test split of the table of named groups: a group is a `model`; `home` marks what it was fine-tuned on."""
    require(DENSE in set(table["group"]), "There is no dense model in this study to compare the others with.")
    rows = of_split(table.assign(model=table["group"], home=at_own_set(table)), "test")
    return one_kind(rows.reset_index(drop=True), "encoder")


def _shared(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of sets that every model of a language was scored on: means over other sets are not comparable."""
    scored = rows.groupby(["trained_on", "dataset", "language", "noise", "rate"])["model"].transform("nunique")
    return rows[scored == rows.groupby("trained_on")["model"].transform("nunique")]


def under_noise(table: pd.DataFrame) -> pd.DataFrame:
    """The rows with noise of `KINDS` beside the scores of the same model on clean text; `strongest`: its highest rate.

    `lost` is in points, `kept` in per cent of the `clean` F1, missing where that is below `LEAST`.
    """
    home, kept = table[table["home"]], {"f1": "clean", "calibration_error": "clean_calibration"}
    clean = home.loc[home["noise"] == "", ["model", *PAIR, *kept]].rename(columns=kept)
    rows = _shared(home[home["noise"].isin(KINDS)]).merge(clean, on=["model", *PAIR])
    require(len(rows) > 0, "No model of this table was scored under noise: give study.run the sets of a noise grid.")
    return rows.assign(
        lost=rows["clean"] - rows["f1"],
        kept=(100 * rows["f1"] / rows["clean"]).where(rows["clean"] >= LEAST),
        strongest=rows["rate"] == rows.groupby(["language", "noise"])["rate"].transform("max"),
    )


def strongest(table: pd.DataFrame, kinds: Sequence[str] = TYPING) -> pd.DataFrame:
    """The rows of `under_noise` with noise of some kinds at their highest rates."""
    return under_noise(table).query("strongest and noise in @kinds")


def attacks(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the search for harmful edits, of models of the language; `rate` is its budget."""
    return table[table["home"] & (table["noise"] == ATTACK)]


def calibration(table: pd.DataFrame) -> pd.DataFrame:
    """Expected calibration `error` by model, language, seed and `place`; of sets that all models were scored on."""
    noisy, home = strongest(table), table["trained_on"].str.rpartition("/")[2]
    away = _shared(table[(table["noise"] == "") & (table["language"] != home)]).assign(language=home)
    own = {OWN: noisy.assign(calibration_error=noisy["clean_calibration"]), NOISE: noisy, ELSEWHERE: away}
    rows = pd.concat(part.assign(place=place) for place, part in own.items())
    errors = rows.groupby(["model", *PAIR, "place"], sort=False)["calibration_error"].mean()
    return errors.dropna().rename("error").reset_index()


def against_dense(rows: pd.DataFrame, value: str, *, drawn_once: Sequence[str] = NOISES) -> pd.DataFrame:
    """A `comparison` of each compressed model with the dense one; of several kinds of noise the mean counts."""
    about = {"match": [column for column in ("noise", "rate", "place") if column in rows], "drawn_once": drawn_once}
    return against(rows, rows["model"] == DENSE, by=["model"], value=value, **about)


def by_kind(table: pd.DataFrame) -> pd.DataFrame:
    """A `comparison` in F1 kept for each kind, rate and compressed model; `strongest` marks the highest rate.

    As everywhere on the page, p is corrected for the models under one noise: a verdict is the same wherever it stands.
    """
    rows = under_noise(table).astype({"noise": pd.CategoricalDtype(list(KINDS))})
    parts = dict(list(rows.groupby(["noise", "rate"], observed=True)))
    found = {place: against_dense(own, "kept").assign(strongest=own["strongest"].any()) for place, own in parts.items()}
    return pd.concat(found, names=["noise", "rate"]).reset_index()


def beside_dense(rows: pd.DataFrame, columns: Mapping[str, str] = KEPT, **drawn: Sequence[str]) -> pd.DataFrame:
    """A row for each model: the interval of each column over seeds, and the last column beside the dense model."""
    shown = pd.DataFrame({header: over_seeds(rows, column, by=["model"]) for header, column in columns.items()})
    last, value = list(columns.items())[-1]
    shown[f"{last}, minus dense"] = against_dense(rows, value, **drawn)["comparison"]
    return shown.reindex(dict.fromkeys(rows["model"])).rename_axis("model").reset_index()


def noise_by_model(table: pd.DataFrame) -> pd.DataFrame:
    """`beside_dense` under the strongest noise of all kinds, and clean F1 minus the dense model's over sentences."""
    clean = table[table["home"] & (table["noise"] == "")]
    drawn = against(clean, clean["model"] == DENSE, by=["model"], over_sentences=True)[OVER_SENTENCES]
    return beside_dense(strongest(table)).join(drawn.rename(f"clean F1, minus dense, {OVER_SENTENCES}"), on="model")


def attacks_by_model(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each budget and model: F1 before and after, and what random edits and the search break."""
    columns = {"F1 before": "f1_before", "F1 under attack": "f1", "edits": "attack_edits"}
    columns |= {"broken at random (%)": "random_success", "broken (%)": "attack_success"}
    found = {100 * rate: beside_dense(own, columns, drawn_once=EDITS) for rate, own in attacks(table).groupby("rate")}
    return pd.concat(found, names=["budget (% of letters)"]).reset_index(0) if found else pd.DataFrame()


def calibration_by_model(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each model: calibration error at home, under noise and in other languages, beside the dense model."""
    parts = [
        beside_dense(own, {place: "error"}, drawn_once=NOISES if place == NOISE else ()).set_index("model")
        for place, own in calibration(table).groupby("place", sort=False)
    ]
    return pd.concat(parts, axis="columns").reset_index()


def claims(table: pd.DataFrame) -> dict[str, list[Finding]]:
    """What this page says of typing noise, unseen names, the attack, and the confidence of dense and other models."""
    errors, rows = calibration(table), strongest(table)
    # Not every language has each kind of typing, over which the mean is.
    kinds = sorted(set(rows.groupby("language")["noise"].nunique()))
    number = count_of(kinds[-1], "kind") if kinds else "no kind"
    noise = f"under the strongest noise of {f'{kinds[0]} to {number}, by language' if len(kinds) > 1 else number}"
    less, kept = "keep a smaller share of F1", "keeps this share of its clean F1: {}"
    worse, error = "be worse calibrated", "has this calibration error: {}"
    typing = judged(rows, "kept", noise, less, kept)
    names = judged(strongest(table, [SWAPS]), "kept", "on unseen names", less, kept)
    calibrated = judged(errors[errors["place"] == NOISE], "error", noise, worse, error, worse=1)
    return {"NC3": [typing, names, attacked(table), says_so(errors), calibrated]}


def judged(rows: pd.DataFrame, value: str, where: str, behind: str, level: str, *, worse: int = -1) -> Finding:
    """Whether any compressed model is shown to be worse than the dense one; `behind` and `level` are the words."""
    found = made(against_dense(rows, value, drawn_once=EDITS if value == "attack_success" else NOISES))["comparison"]
    dense = t_interval(by_seed(rows[rows["model"] == DENSE], value))
    if found.empty or not dense.n:
        return missing(f"compressed models {where}")
    lost = [model for model, one in found.items() if one.sign == worse]
    unsure = [model for model, one in found.items() if one.verdict == NOT_DECIDED]
    # A comparison of one seed has no bounds, and excludes nothing.
    furthest = found.map(lambda one: max(worse * one.interval.low, worse * one.interval.high))
    safe = list(found.index[furthest < DEPARTURE])
    widest = furthest[unsure].clip(lower=0.0).max(skipna=False)
    left = f"a loss of up to {outward(widest):.1f} points" if math.isfinite(widest) else "any loss"
    wide = f"; for {len(unsure)} this is not decided, and the intervals allow {left}" if unsure else ""
    last = max(found.index, key=lambda model: worse * found[model].interval.mean)
    end = "highest" if worse > 0 else "lowest"
    return Finding(
        f"{some_of(len(lost), len(found), 'compressed model')} shown to {behind} than the dense model {where}{wide}.",
        f"The dense model {level.format(describe(dense, ' points' if value == 'error' else ' %'))}. For "
        f"{len(safe) or 'none'} of {count_of(len(found), 'compressed model')}, a single interval excludes a loss of "
        f"{DEPARTURE:g} points. Beside the dense model, the {end} mean is that of “{last}”: {found[last]}.",
        values={"compared": found, "worse": lost, "unsure": unsure, "widest": widest, "safe": safe, "dense": dense},
        verdict=NOT_DECIDED if unsure and not lost else ANSWERED,
    )


def attacked(table: pd.DataFrame) -> Finding:
    """Does a search for harmful edits break compressed models more often than the dense one, at its largest budget?"""
    rows = attacks(table)
    rows = rows[rows["rate"] == rows["rate"].max()]
    right = rows.loc[rows["model"] == DENSE].get("right_before", pd.Series(dtype=float)).dropna()
    few = f" ({right.min():.0f} to {right.max():.0f} in each language, by seed; in no interval)" if len(right) else ""
    behind = "be easier to break"
    level = f"tags this share of the sentences wrong that it tagged correctly before{few}: {{}}"
    found = judged(rows, "attack_success", "under the strongest attack", behind, level, worse=1)
    if not found.measured:
        return found
    dense = rows[rows["model"] == DENSE]
    random = dense.assign(attack_success=dense["random_success"])
    (chance,) = paired(dense, random, value="attack_success", drawn_once=EDITS)["comparison"]
    text = f"{found.text} The search minus as many random edits, on the dense model: {chance}."
    return replace(found, text=text, values={**found.values, "minus chance": chance})


def says_so(errors: pd.DataFrame) -> Finding:
    """Does the confidence of the dense model fall as far as its accuracy under noise? `errors` is its `calibration`."""
    dense = errors[errors["model"] == DENSE]
    noisy, clean = (dense[dense["place"] == place] for place in (NOISE, OWN))
    (change,) = paired(noisy, clean, value="error", drawn_once=NOISES)["comparison"]
    if not change.interval.n:
        return missing("calibration errors of the dense model")
    verb = change.words("raises", "lowers", "does not change", "is not shown to change")
    return Finding(f"Typing noise {verb} the calibration error of the dense model: {change}.", quantity=change)


def texts_by_model(found: pd.DataFrame, *, of: str) -> pd.DataFrame:
    """One of `without_labels.MEASURES` by model and text: means over languages with their intervals over seeds."""
    places = sorted(dict.fromkeys(found["text"]), key=lambda text: text != OWN)
    wide = over_seeds(found, of, by=["model", "text"]).unstack("text").reindex(columns=places)
    wide = wide.reindex(dict.fromkeys(found["model"])).dropna(how="all").rename_axis(None, axis="columns")
    return wide.rename_axis("model").reset_index()


def strangers(found: pd.DataFrame) -> Finding:
    """Are models less confident on text that they were not made for, and do they agree there with the dense one?"""
    own, strange = (found[(found["text"] == OWN) == here] for here in (True, False))
    beside = {"match": ["place"], "for_all": ["place"]}
    dense = (rows[rows["model"] == DENSE] for rows in (strange, own))
    (sure,) = paired(*dense, **beside, value="confidence")["comparison"]
    if not sure.interval.n:
        return missing("texts of another kind or language")
    unsure = "not shown to be less confident than"
    verb = sure.words("more confident than", "less confident than", "as confident as", unsure)
    alike = made(paired(strange, own, by=["model"], **beside, value="agreement")).set_index("model")["comparison"]
    less = sum(one.sign < 0 for one in alike)
    return Finding(
        f"On strange text the dense model is {verb} on its own test set: {sure}.",
        f"{some_of(less, len(alike), 'compressed model')} shown to agree less with it there." if len(alike) else "",
        quantity=sure,
        values={"agreement": alike.to_dict()},
    )
