"""All recipes that have a record, side by side: which is the best for its size, its time and its training."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from smaller.analysis import comparison
from smaller.analysis.comparison import AGREES, DIFFERS, NOT_COMPARABLE, NOT_DECIDED, NOT_MEASURED, OVER_SENTENCES
from smaller.analysis.findings import baselines
from smaller.analysis.findings.claims import may_claim, standing
from smaller.analysis.findings.finding import ANSWERED, Finding, missing
from smaller.analysis.findings.units import SIZE, TIME, everywhere
from smaller.analysis.statistics import by_seed, t_interval
from smaller.base.words import count_of
from smaller.data.languages import name_of
from smaller.study import results, timing
from smaller.study.kinds import draws, is_whole, kind
from smaller.study.plain import IN_WORDS, at_every_seed

WITHOUT = "plain"
"""The technique of a model without an encoder."""


def recipes(
    records: Iterable[dict],
    *,
    encoder: str,
    dataset: str,
    languages: Sequence[str],
    plain: pd.DataFrame | None = None,
    plain_shares: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """`of_table` of an encoder's records; shares of time are taken within the run that timed both models.

    `plain_shares` are those of the models without an encoder, from text to labels (see `study.plain.time_ratios`).
    """
    records = [record for record in records if record["recipe"]["encoder"] == encoder]
    steps = {record["identity"]: record["recipe"]["steps"] for record in records}
    shares = {field: timing.shares(records, field) | (plain_shares or {}) for field in TIME}
    return of_table(results.table(records), steps, dataset=dataset, languages=languages, shares=shares, plain=plain)


def of_table(
    table: pd.DataFrame,
    steps: Mapping[str, Sequence[Mapping]],
    *,
    dataset: str,
    languages: Sequence[str],
    shares: Mapping[str, Mapping[str, float]],
    plain: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Test scores at home, a row for each model, of the kinds of recipe that have every one of the languages.

    `steps` has the canonical steps of each identity, `shares` the share of the dense model's time by column of the time
    and identity; models without an encoder, `plain`, stand beside every seed of the dense one. Rounded weights save
    nothing and are left out. Of several settings of a kind, each language takes the one with most seeds, then the best
    on dev.
    """
    if plain is not None:
        dense = table["identity"].map(lambda identity: is_whole(steps[identity]))
        table = pd.concat([table, at_every_seed(plain, table.loc[dense, "seed"])], ignore_index=True)
    table = table.assign(noise=table["noise"].fillna(""))
    home = (table["dataset"] == dataset) & table["language"].isin(list(languages)) & (table["noise"] == "")
    home &= table["dataset"] + "/" + table["language"] == table["trained_on"]
    rounded = {identity for identity, form in steps.items() if any(step["step"] == "Round" for step in form)}
    table = table[home & ~table["identity"].isin(rounded)]
    keys = ["identity", "encoder", "language", "seed"]
    dev = table[table["split"] == "dev"].groupby(keys, dropna=False)["f1"].mean().rename("dev_f1")
    table = table[table["split"] == "test"].merge(dev.reset_index(), on=keys, how="left")
    forms = [steps.get(identity, []) for identity in table["identity"]]
    table = table.assign(
        kind=[kind(form) or IN_WORDS.get(name, name) for form, name in zip(forms, table["encoder"], strict=True)],
        whole=list(map(is_whole, forms)),
        draws=[draws(form) for form in forms],
        setting=[json.dumps([step | {"seed": 0} for step in form], sort_keys=True) for form in forms],
    )
    settings = table.groupby(["kind", "language", "setting"]).agg(seeds=("seed", "nunique"), dev=("dev_f1", "mean"))
    best = settings.sort_values(["seeds", "dev"], ascending=False).reset_index().drop_duplicates(["kind", "language"])
    # Of recipes that differ in what was drawn before fine-tuning alone, one stands for each seed.
    table = table.merge(best[["kind", "language", "setting"]]).drop_duplicates(["kind", "language", "seed"])
    complete = table.groupby("kind")["language"].nunique() == len(set(languages))
    table = table[table["kind"].map(complete)].reset_index(drop=True)
    counted = everywhere(table, SIZE)
    timed = everywhere(table[table["technique"] != WITHOUT], TIME)
    share = table["identity"].map(shares.get(timed, {})).astype(float)
    # A model without an encoder is timed from text to labels, and its seconds of training may be another machine's.
    apart = table["technique"] == WITHOUT
    share = share.mask(apart & (timed != next(iter(TIME))))
    machine = table["device"].astype(object).map(results.machine_of, na_action="ignore")
    there = machine.isin(machine[~apart])
    table = table.assign(training_seconds=table["training_seconds"].where(there))
    return table.assign(bytes=table[counted], counted=counted, timed=timed, time_ratio=share)


def families(table: pd.DataFrame, *, over_sentences: bool = False) -> pd.DataFrame:
    """One row for each kind of `recipes`, the smallest first; `minus` is the interval of its difference on test.

    One chooses by `dev_f1` and `dev_drop` among the `complete` kinds, which have all seeds of the uncompressed model.
    Verdicts are those of the `choices` alone: nobody asked about each of so many kinds.
    """
    minus = comparison.against(table, table["whole"], by=["kind"], over_sentences=over_sentences)
    dense, rows = by_seed(table[table["whole"]], "dev_f1"), []
    for name, own in table.groupby("kind", sort=False):
        first, f1, on_dev = own.iloc[0], by_seed(own), by_seed(own, "dev_f1")
        several = own["seed"].nunique() > 1
        once = tuple(step for step in first["draws"] if several and len({draw[step] for draw in own["draws"]}) == 1)
        rows.append(
            first[["kind", "technique", "whole", "counted", "timed"]].to_dict()
            | {
                # A model without an encoder is the same at every seed, so its own F1 has no interval.
                "F1": t_interval(f1[:1] if first["technique"] == WITHOUT else f1),
                "f1": f1.mean(),
                "minus": getattr(minus["comparison"].get(name), "interval", None),
                "drawn once": ", ".join(once),
                OVER_SENTENCES: minus[OVER_SENTENCES].get(name) if over_sentences else None,
                "dev_f1": on_dev.mean(),
                "complete": len(dense) > 0 and set(dense.index) <= set(f1.index),
                "dev_drop": (dense - on_dev).mean(),
            }
            | own[["bytes", "compressed_bytes"]].max().to_dict()
            # A mean over some of the languages is no time beside means over all of them.
            | own.groupby("language")[["time_ratio", "training_seconds"]].mean().mean(skipna=False).to_dict()
        )
    return pd.DataFrame(rows).sort_values("bytes", ignore_index=True)


def units(found: pd.DataFrame) -> str:
    """What the sizes and times of `families` are, for captions; what one without an encoder lacks is said."""
    size = f"{SIZE[found['counted'].iloc[0]]}, of the language whose model is largest"
    time, without = TIME[found["timed"].iloc[0]], found[found["technique"] == WITHOUT]
    lacking = ["size: its own is that of its whole file"] * int(apart(found).any())
    lacking += ["time: it is known from text to labels alone"] * int(without["time_ratio"].isna().any())
    told = f" A model without an encoder has no such {', and no such '.join(lacking)}." if lacking else ""
    time += ", for one sentence; as a share of the uncompressed model's in the same run"
    return f"Size: {size}. Time: {time}.{told}"


def apart(found: pd.DataFrame) -> pd.Series:
    """Which rows are models without an encoder whose size, that of a file, stands beside the weights of others."""
    return (found["technique"] == WITHOUT) & (found["counted"] != next(iter(SIZE)))


def families_by_language(table: pd.DataFrame) -> pd.DataFrame:
    """`families` of each language alone, with a column `language`."""
    parts = [families(own).assign(language=code) for code, own in table.groupby("language")]
    return pd.concat(parts, ignore_index=True)


def front(found: pd.DataFrame, *, cost: str = "bytes") -> pd.DataFrame:
    """The `complete` kinds that no other beats on dev: all that cost no more have a lower F1 there. Rising in cost.

    On a front of weights there is no place for a file (see `apart`).
    """
    ordered = found[found["complete"] & ~(apart(found) & (cost == "bytes"))].dropna(subset=[cost, "dev_f1"])
    ordered = ordered.sort_values([cost, "dev_f1"], ascending=[True, False])
    best = ordered["dev_f1"].cummax()
    return ordered[(ordered["dev_f1"] == best) & ~best.duplicated()].reset_index(drop=True)


def fronts(found: pd.DataFrame) -> Finding:
    """How many kinds stand on the front of every language of `families_by_language`, and where fronts end."""
    each = [front(own) for _, own in found.groupby("language")]
    on = pd.concat(each).groupby("kind")["bytes"].agg(["size", "mean"])
    shared, alone = on.loc[on["size"] == len(each), "mean"], int((on["size"] == 1).sum())
    ends = list(dict.fromkeys(own["kind"].iloc[-1] for own in each if len(own)))
    smallest = f"The smallest that all languages share: {shared.idxmin()}. " if len(shared) else ""
    return Finding(
        f"{count_of(len(shared), 'kind')} of model {'is' if len(shared) == 1 else 'are'} on the front of F1 and size "
        f"in each of {count_of(len(each), 'language')}, and {alone or 'none'} in one alone.",
        f"{smallest}On the front, the highest F1 on dev is that of: {'; '.join(ends)}.",
        values={"shared": set(shared.index), "alone": alone, "ends": ends},
    )


def ahead(table: pd.DataFrame) -> Finding:
    """Whether the uncompressed model is ahead of those without an encoder in the table (see `baselines.ahead`)."""
    needed = ["identity", "dataset", "language", "split", "noise", "encoder", "order", "seed", "score"]
    return baselines.ahead(table.loc[table["whole"], needed], table.loc[table["technique"] == WITHOUT, needed])


def choices(table: pd.DataFrame, *, drops: Sequence[float]) -> pd.DataFrame:
    """For each loss on dev that one may accept the smallest kind of recipe, compared with uncompressed on test.

    `loses less` says whether the interval excludes a loss of that many points. Where the uncompressed model is not
    ahead of a model without an encoder, the latter alone stands there.
    """
    found, claimed = families(table), may_claim(ahead(table))
    able = found[found["complete"] & ((found["technique"] != WITHOUT) if claimed else (found["technique"] == WITHOUT))]
    picked = [(limit, own["kind"].iloc[0]) for limit in drops if len(own := able[able["dev_drop"] <= limit])]
    picked = picked if claimed else [(math.nan, name) for name in able["kind"][:1]]
    if not picked or not found["whole"].any():
        return pd.DataFrame()
    limits, kinds = map(list, zip(*picked, strict=True))
    dense, compared = found.loc[found["whole"]].iloc[0], table[table["kind"].isin(kinds) | table["whole"]]
    once = found.set_index("kind")["drawn once"]
    about = {"by": ["kind"], "over_sentences": True, "drawn_once": lambda group: filter(None, [once[group["kind"]]])}
    tested = comparison.against(compared, compared["whole"], **about)
    rows = found.set_index("kind").loc[kinds].reset_index()
    minus, drawn = ([tested[name].get(kind) for kind in kinds] for name in ("comparison", OVER_SENTENCES))
    lost = [DIFFERS if one is None else one.departs(by=limit) for limit, one in zip(limits, minus, strict=True)]
    recipe = rows["kind"].mask(rows["whole"], "leave it uncompressed")
    return pd.DataFrame(
        {
            "at most lost on dev (points)": limits,
            "recipe": recipe if claimed else "none; the uncompressed model is not ahead of " + recipe,
            "uncompressed": [dense["F1"]] * len(rows),
            "F1": rows["F1"],
            "minus uncompressed": minus,
            OVER_SENTENCES: drawn,
            "loses less": [{DIFFERS: "shown", AGREES: "loses more"}.get(one, one) if claimed else "–" for one in lost],
            "MB": rows["bytes"] / 1e6,
            "size (%)": (100 * rows["bytes"] / dense["bytes"]).mask(apart(rows)),
            "time (%)": 100 * rows["time_ratio"],
        }
    )


def choices_by_language(table: pd.DataFrame, *, drop: float) -> pd.DataFrame:
    """`choices` of each of several languages, at most `drop` points lost on dev; p is corrected for the languages.

    There is nothing of a single language: what was found of it stands in `choices`.
    """
    if table["language"].nunique() < 2:
        return pd.DataFrame()
    found = [choices(own, drops=[drop]).assign(language=name_of(code)) for code, own in table.groupby("language")]
    found = pd.concat(found, ignore_index=True)
    if found.empty:
        return found
    compared = found[["minus uncompressed"]].dropna().set_axis(["comparison"], axis="columns")
    found["minus uncompressed"] = comparison.corrected(compared)["comparison"].reindex(found.index)
    return found[["language", *found.columns.drop("language")]]


def recommendation(table: pd.DataFrame, *, drops: Sequence[float]) -> Finding:
    """Which recipe to use for the first of `drops`, and what is shown of it on test; `choices` has more."""
    if not table["whole"].any():
        return missing("Uncompressed models in all of the languages")
    chosen, lead, number = choices(table, drops=drops), ahead(table), count_of(table["kind"].nunique(), "kind")
    if not may_claim(lead):
        said = f"No recipe is recommended, since the uncompressed model {standing(lead)} one without an encoder."
        return Finding(said, lead.headline, quantity=lead.quantity, verdict=NOT_COMPARABLE)
    limit, minus, known = chosen.iloc[0][["at most lost on dev (points)", "minus uncompressed", "loses less"]]
    points, megabytes, dense = f"{limit:g} point{'' if limit == 1 else 's'}", *chosen.iloc[0][["MB", "size (%)"]]
    decided = {"shown": "is shown", "loses more": "is ruled out"}.get(known, "is not decided")
    test = f" On test its difference from uncompressed is {minus}; a loss below {points} {decided}." if minus else ""
    return Finding(
        f"Of {number} of recipe, the smallest that loses at most {points} of F1 on dev takes {megabytes:.2f} MB "
        f"instead of {100 * megabytes / dense:.2f} MB.",
        f"It is: {chosen['recipe'].iloc[0]}.{test}",
        quantity=minus,
        values={"choices": chosen},
        verdict=known if known in (NOT_DECIDED, NOT_MEASURED) else ANSWERED,
    )


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """The families as a reader's table, the smallest first; "compressed" is what zlib leaves of the weights."""
    names = {"kind": "recipe", "F1": "F1", "minus": "minus uncompressed", OVER_SENTENCES: OVER_SENTENCES}
    names |= {"dev_f1": "dev F1", "bytes": "MB", "compressed_bytes": "compressed (MB)", "time_ratio": "time (%)"}
    names |= {"training_seconds": "training (s)", "drawn once": "drawn once"}
    sizes = found[["bytes", "compressed_bytes"]] / 1e6
    return found.assign(**sizes, time_ratio=100 * found["time_ratio"])[list(names)].rename(columns=names)
