"""A figure as files: PNG, SVG and its data as CSV, with a caption and an alternative text."""

import base64
import html
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import AutoLocator, MaxNLocator
from PIL import Image

from smaller.analysis.figures.base import styled
from smaller.base.checks import require
from smaller.base.errors import SmallerError
from smaller.base.files import write_csv
from smaller.base.paths import inside_outputs, outputs_folder

SEEDS = (
    "Dots: seeds; markers and lines: their means, with 95 % t intervals over two seeds or more; those of scores end at "
    "0 and 100."
)

# Where the report puts its links to the files of a figure or table.
FILES = "<!--files-->"


@dataclass(frozen=True)
class FigureCard:
    """A saved figure; as the last value of a notebook cell it shows with its caption and alternative text."""

    name: str
    caption: str
    alt: str
    png: Path
    svg: Path
    csv: Path

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> tuple[dict, dict]:
        image = base64.b64encode(self.png.read_bytes()).decode("ascii")
        content = (
            f'<figure id="figure-{html.escape(self.name)}"><img src="data:image/png;base64,{image}" '
            f'alt="{html.escape(self.alt)}" style="max-width: 100%; width: 7in">'
            f"<figcaption>{html.escape(self.caption)}{FILES}</figcaption></figure>"
        )
        card = {"kind": "figure", "name": self.name, "caption": self.caption, "alt": self.alt}
        card["files"] = [inside_outputs(path) for path in (self.csv, self.svg, self.png)]
        return {"text/html": content, "text/plain": f"Figure {self.name}: {self.caption}"}, {"smaller": card}


@styled
def save(
    drawing: Figure | Axes | Iterable[Axes],
    name: str,
    *,
    table: pd.DataFrame,
    caption: str,
    alt: str,
    over: str = "",
    folder: Path | None = None,
) -> FigureCard:
    """Write a figure as PNG and SVG, the same bytes each time, and its data as CSV, under `outputs/figures`.

    The caption states the finding; `alt` describes the picture to somebody who cannot see it. Where seeds are drawn,
    `over` names languages and seeds, and the caption ends with them and with what dots and intervals are.
    """
    caption = f"{caption.strip()} {over}. {SEEDS}" if over else caption.strip()
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise SmallerError(f"A figure's name is a file name: {name!r} may hold letters, digits, - _ and . only.")
    require(bool(caption.strip() and alt.strip()), f"Figure {name} needs a caption and an alternative text.")
    figure = drawing if isinstance(drawing, Figure) else np.ravel(np.asarray(drawing, dtype=object))[0].figure
    for axis in (axis for panel in figure.axes for axis in (panel.xaxis, panel.yaxis)):
        if isinstance(axis.get_major_locator(), AutoLocator):  # whose steps may be 2.5
            axis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], min_n_ticks=3))
    folder = folder or outputs_folder() / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    card = FigureCard(name, caption, alt, *(folder / f"{name}.{ending}" for ending in ("png", "svg", "csv")))
    pixels = io.BytesIO()
    figure.savefig(pixels, format="png", metadata={"Software": None})
    # A palette of 256 colours looks the same and keeps a page with many figures below a megabyte.
    image = Image.open(pixels).convert("RGB").quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    dots = matplotlib.rcParams["savefig.dpi"]
    image.save(card.png, optimize=True, dpi=(dots, dots))
    figure.savefig(card.svg, metadata={"Date": None, "Creator": None})
    write_csv(table, card.csv)
    return card
