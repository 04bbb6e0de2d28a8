"""Sliders over finished records, for JupyterLab: nothing is trained, and a batch run shows nothing of them."""

from __future__ import annotations

import html
import io

import ipywidgets as widgets
import pandas as pd
from matplotlib.axes import Axes

from smaller.analysis.figures.base import (
    COLOURS,
    GREY,
    ORDERS,
    language_name,
    legend_above,
    log_scale,
    new_axes,
    styled,
)
from smaller.analysis.figures.models import WHOLE
from smaller.analysis.statistics import AVERAGE
from smaller.base.progress import attended


def explore(table: pd.DataFrame, *, looked_at: bool | None = None) -> Explorer | None:
    """Display sliders over a table of `findings.summary.recipes`; in a batch run there is nothing, and None comes back.

    Every move redraws from the table, which is in memory. Whether it is `looked_at` is found out when None.
    """
    if not (attended() if looked_at is None else looked_at):
        return None
    from IPython.display import display

    explorer = Explorer(table)
    display(explorer.box)
    return explorer


class Explorer:
    """Three sliders, a drawing and a line of text over what was measured.

    `drawn` is the data of the drawing: a row for each kind of recipe with `kind`, `whole`, `group` (the technique as
    its slider has it), `sparsity`, `f1` (mean over seeds, in points), `lowest`, `highest`, `seeds`, `bytes` and `role`:
    "others", "technique" (the group that the slider names) or "chosen" (at the chosen sparsity too). What has no record
    has no row; `said` tells.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        kinds = _grouped(table)
        self._points = {language: _points(kinds, language) for language in _languages(kinds)}
        techniques = sorted(set(kinds["group"]) - {WHOLE}) or [WHOLE]
        sparsities = [(_zeros(share), share) for share in sorted({0.0, *kinds["sparsity"]})]
        languages = [(language_name(code), code) for code in self._points]
        self.language = _slider("Language", languages)
        self.technique = _slider("Technique", [(name, name) for name in techniques])
        self.sparsity = _slider("Sparsity", sparsities)
        self.image = widgets.Image(format="png", layout=widgets.Layout(width="100%", max_width="700px"))
        self.text = widgets.HTML()
        sliders = [self.language, self.technique, self.sparsity]
        for slider in sliders:
            slider.observe(lambda _: self._draw(), names="value")
        self.box = widgets.VBox([*sliders, self.text, self.image])
        self._draw()

    @property
    def said(self) -> str:
        """What the text under the sliders says, as plain text."""
        return html.unescape(self.text.value.replace("<br>", "\n"))

    def _draw(self) -> None:
        points = self._points[self.language.value]
        mine = points["group"] == self.technique.value
        chosen = mine & (points["sparsity"] == self.sparsity.value)
        role = pd.Series("others", points.index).mask(mine, "technique").mask(chosen, "chosen")
        self.drawn = points.assign(role=role)
        place = language_name(self.language.value)
        pixels = io.BytesIO()
        axes = _drawing(self.drawn, technique=self.technique.value, title=place)
        axes.figure.savefig(pixels, format="png", dpi=110)
        self.image.value = pixels.getvalue()
        self.text.value = "<br>".join(html.escape(line) for line in self._lines(place))

    def _lines(self, place: str) -> list[str]:
        rows = self.drawn
        whole = rows.loc[rows["whole"], "f1"]
        wanted = f"{self.technique.value}, {_zeros(self.sparsity.value)}"
        chosen = rows[rows["role"] == "chosen"].sort_values("f1", ascending=False)
        if chosen.empty:
            known = sorted(set(rows.loc[rows["role"] == "technique", "sparsity"]))
            where = ", ".join(map(_zeros, known))
            return [
                f"Not measured: {place}, {wanted}."
                + (f" With this technique there are records at: {where}." if where else "")
            ]
        lines = [f"{place}, {wanted}:"]
        for row in chosen.itertuples():
            spread = f" (seeds {row.lowest:.1f} to {row.highest:.1f})" if row.seeds > 1 else " (one seed)"
            lost = f", {row.f1 - whole.iloc[0]:+.1f} points against uncompressed" if len(whole) else ""
            lines.append(f"{row.kind}: F1 {row.f1:.1f}{spread}{lost}, {row.bytes / 1e6:.2f} MB")
        return lines


def _zeros(share: float) -> str:
    return f"{100 * share:.0f} % of weights zero" if share else "not pruned"


def _slider(name: str, options: list[tuple[str, object]]) -> widgets.SelectionSlider:
    return widgets.SelectionSlider(description=name, options=options, layout=widgets.Layout(width="100%"))


def _grouped(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the words of the technique slider."""
    order = table["order"].map(ORDERS)
    group = table["technique"].mask(table["technique"] == "pruned", order)
    return table.assign(group=group.mask(table["whole"], WHOLE), sparsity=table["sparsity"].fillna(0.0))


def _languages(kinds: pd.DataFrame) -> list[str]:
    codes = sorted(set(kinds["language"]), key=language_name)
    return [AVERAGE, *codes] if len(codes) > 1 else codes


def _points(kinds: pd.DataFrame, language: str) -> pd.DataFrame:
    """One row for each kind of recipe: over seeds, and over languages first where the average is asked for."""
    own = kinds if language == AVERAGE else kinds[kinds["language"] == language]
    keys = ["kind", "whole", "group", "sparsity"]
    seeds = own.groupby([*keys, "seed"], as_index=False)[["f1", "bytes"]].mean()
    return seeds.groupby(keys, as_index=False).agg(
        f1=("f1", "mean"),
        lowest=("f1", "min"),
        highest=("f1", "max"),
        seeds=("f1", "size"),
        bytes=("bytes", "mean"),
    )


@styled
def _drawing(points: pd.DataFrame, *, technique: str, title: str) -> Axes:
    """F1 over size; `points` is `Explorer.drawn`, each role has a colour, and a line is the uncompressed model."""
    axes = new_axes(1, height=3.4)[0]
    for role, colour, size, label in (
        ("others", GREY, 4, "everything else"),
        ("technique", COLOURS[0], 6, technique),
        ("chosen", COLOURS[1], 9, "at the chosen sparsity"),
    ):
        own = points[points["role"] == role]
        axes.plot(
            1e-6 * own["bytes"],
            own["f1"],
            "o",
            color=colour,
            alpha=0.3 if role == "others" else 1,
            markersize=size,
            label=label,
        )
    for f1 in points.loc[points["whole"], "f1"]:
        axes.axhline(f1, color=GREY, linewidth=1, zorder=0.5, label=WHOLE)
    axes.set(title=title, xlabel="size (MB)", ylabel="F1 (points)", ylim=(0, 100))
    log_scale(axes.xaxis)
    legend_above(axes)
    return axes
