"""Figures of the second paper's pipeline: sizes by stage, and scores over tokens, adapters, text and bytes."""

import math
from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from smaller.analysis.figures import base
from smaller.analysis.figures.base import COLOURS, GREY, styled
from smaller.analysis.figures.models import BELOW, NONE
from smaller.analysis.findings.pipeline import PIPELINE, averaged, front
from smaller.analysis.findings.units import SIZE
from smaller.analysis.statistics import of_split
from smaller.base.errors import SmallerError
from smaller.data.datasets import title
from smaller.data.tasks import IN_WORDS
from smaller.study.pipelines import DENSE
from smaller.study.plain import at_every_seed

LINKED = (PIPELINE, "pruned", "cut", "distilled", "trimmed")
"""The families of X1 that are a series; the models of the others stand by themselves."""


@styled
def pipeline_diagram(table: pd.DataFrame) -> np.ndarray:
    """The stages of one encoder's pipeline: a bar for the bytes of the largest model, beside it all scores (P2-F1)."""
    rows = averaged(of_split(table[table["family"] == PIPELINE], "test")).assign(task=_tasks)
    sizes = rows.loc[rows.groupby("stage", sort=False)["bytes"].idxmax()].set_index("stage")
    of = " and ".join(dict.fromkeys(sizes["dataset"].map(title)))
    figure = Figure(figsize=(7, 0.9 + 0.42 * len(sizes)))
    bars, scores = axes = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    sns.barplot(x=sizes["bytes"] / 1e6, y=sizes.index, ax=bars, color=COLOURS[0], width=0.6, alpha=0.8)
    told = map(
        " {:.2f} M, {:.1f} MB, {:.0f} %".format,
        *(sizes[["parameters", "bytes", "share"]].to_numpy() / (1e6, 1e6, 0.01)).T,
    )
    bars.bar_label(bars.containers[0], list(told), fontsize=6.5)
    bars.set(xlim=(0, 1.6 * sizes["bytes"].max() / 1e6), ylabel="")
    bars.set_xlabel(f"{table['counted'].iloc[0].replace('bytes', 'MB')}, models of {of}")
    bars.grid(visible=False, axis="y")
    base.dots_mean_interval(scores, rows, x="score", y="stage", hue="task", order=list(sizes.index))
    scores.set_xlabel("score (points)")
    return base.legend_above(axes)


@styled
def vocabulary_curve(rows: pd.DataFrame) -> np.ndarray:
    """Score over the vocabulary of stages that differ in it alone, a panel a data set, a line a language (P2-F2)."""
    return _panels(rows.assign(name=rows["language"].map(base.language_name)), "vocabulary", "tokens in the vocabulary")


@styled
def score_at_bytes(table: pd.DataFrame) -> np.ndarray:
    """Score of the `front` over the share of the dense bytes, a panel a data set, a line a family; grey: dense (X1)."""
    rows, whole = front(table), averaged(of_split(table[table["stage"] == DENSE], "test"))
    unsized = rows["share"].isna()
    small = rows[(rows["stage"] != DENSE) & ~unsized].assign(name=rows["family"], percent=100 * rows["share"])
    levels = {name: own.groupby("dataset")["score"].mean() for name, own in ((DENSE, whole), (NONE, rows[unsized]))}
    about = {"bars": True, "linked": LINKED, "levels": levels, "across": 1}
    label, height = f"{table['counted'].iloc[0]} (% of the dense model's)", 0.6 + 2.3 * small["dataset"].nunique()
    return _panels(small, "percent", label, **about, direct=True, height=height)


def with_plain(table: pd.DataFrame, plain: pd.DataFrame) -> pd.DataFrame:
    """The table with the models without an encoder as a family: files, which have no place among weights."""
    key = ["dataset", "language"]
    dense = table[table["stage"] == DENSE].groupby(key)[["encoder", "bytes"]].first().reset_index()
    own = at_every_seed(plain.drop(columns="encoder"), table["seed"]).merge(dense, on=key)
    shipped = table["counted"].iloc[0] == SIZE["shipped_bytes"]
    share = {"share": own["dense_bytes"] / own["bytes"] if shipped else math.nan, "bytes": own["dense_bytes"]}
    return pd.concat([table, own.assign(family=NONE, stage=NONE, **share)], ignore_index=True)


@styled
def adapter_curve(rows: pd.DataFrame) -> np.ndarray:
    """Score over the sizes of `pipeline_claims.adapter_curve`, a line a stage; dotted: full fine-tuning (P2-F3)."""
    keys = ["encoder", "dataset", "task", "metric", "stage", "size", "seed"]
    rows = rows.groupby(keys, sort=False, as_index=False)[["score", "full"]].mean()
    return _panels(rows.assign(name=rows["stage"] + ", adapters"), "size", "parameters of the adapters", bars=True)


@styled
def drop_and_text(found: pd.DataFrame) -> np.ndarray:
    """The `pipeline_claims.drops` over the lines of text of each language, a panel for each data set (P2-F5)."""
    zero = pd.Series(0.0, index=found["dataset"].unique())
    found = found.assign(name="mean over seeds")
    axes = _panels(found, "amount", "lines of text", y="lost", bars=True, linked=(), levels={DENSE: zero})
    for panel, (_, own) in zip(axes, found.groupby("dataset", sort=False), strict=True):
        places = own.groupby("language", sort=False)[["amount", "lost"]].mean().dropna()
        places = places.rename(index=base.language_name)
        base.notes(panel, {language: place for language, *place in places.itertuples()})
        panel.margins(x=0.3)
        panel.xaxis.set_major_formatter(EngFormatter(sep=""))  # 46k
    return axes


def _panels(
    rows: pd.DataFrame,
    x: str,
    label: str,
    *,
    y: str = "score",
    bars: bool = False,
    linked: Collection[str] | None = None,
    levels: Mapping[str, pd.Series] = base.NOTHING,
    direct: bool = False,
    **grid: float,
) -> np.ndarray:
    """A panel a data set of one encoder, a line if `linked` a `name`; far below: notes; `levels` by data set.

    A name stands in the legend, or `direct` at its first point.
    """
    rows = rows.assign(title=_tasks(rows))
    names = list(dict.fromkeys(rows["name"]))

    def draw(panel: Axes, own: pd.DataFrame) -> None:
        dataset, colours = own["dataset"].iloc[0], dict.fromkeys(levels, GREY)
        own_levels = {name: level[dataset] for name, level in levels.items() if dataset in level}
        for name, level in own_levels.items():
            line = {"linewidth": 1, "linestyle": ":" if name == NONE else "-", "zorder": 0.9}
            panel.axhline(level, color=GREY, label=name, **line)
        for name, mine in own.groupby("name", sort=False):
            place = names.index(name)
            style = base.look(place) | {"marker": (*base.MARKERS, "<", "p", "h", ">")[place % 10]}
            if place >= len(COLOURS):
                # Large and hollow, so that what lies at the same place is seen through it.
                style |= {"color": base.FURTHER[(place - 6) % 4], "markersize": 7, "markerfacecolor": "none"}
            style |= {} if linked is None or name in linked else {"linestyle": ""}
            style |= {"color": GREY, "marker": "X", "markersize": 7, "markerfacecolor": GREY} if name == NONE else {}
            base.curve(panel, mine, x=x, y=y, bars=bars, label=name, **style)
            colours[name] = style["color"]
            if "full" in mine:
                full, told = mine.groupby("seed")["full"].first().mean(), name.replace("adapters", "full fine-tuning")
                panel.axhline(full, color=style["color"], linewidth=0.8, linestyle=":", label=told)
        if y == "score":
            base.log_scale(panel.xaxis)
            if DENSE in own_levels:
                lowest = own_levels[DENSE] - BELOW
                panel.set_ylim(bottom=max(panel.get_ylim()[0], lowest))
                means = own.groupby(["name", x])[y].mean()[lambda mean: mean < lowest].items()
                base.notes(panel, {f"↓ {name}: {mean:.0f}": (at, lowest) for (name, at), mean in means}, color=GREY)
        if direct:
            means = own.groupby(["name", x])[y].mean()[lambda mean: mean >= panel.get_ylim()[0]]
            first = {name: (at, mean) for (name, at), mean in means[::-1].items()}
            first |= {name: (panel.get_xlim()[name == NONE], level) for name, level in own_levels.items()}
            base.notes(panel, first, colours)

    parts = dict(list(rows.groupby("title", sort=False)))
    heading = "score (points)" if y == "score" else "score lost (% of the dense score)"
    grid = {"height": 3.2, "share": "x" if y == "score" else "xy"} | grid
    return base.panels(parts, draw, x=label, y=heading, legend=not direct, **grid)


def _tasks(rows: pd.DataFrame) -> pd.Series:
    """Task, data set and metric of each row; SmallerError unless all rows are of one encoder."""
    if len(encoders := sorted(set(rows["encoder"]))) != 1:
        held = ", ".join(encoders) or "none"
        raise SmallerError(f"This figure is of one encoder, and the rows hold {held}; filter the table first.")
    words = rows["task"].replace(IN_WORDS) + ", " + rows["dataset"].map(title)
    return words.str[:1].str.upper() + words.str[1:] + " (" + rows["metric"] + ")"
