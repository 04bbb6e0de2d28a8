"""The folder of a reference run, made again from its records: its tables, its figures, and the findings on its page."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from smaller.analysis.findings import baselines
from smaller.analysis.findings.claims import ID, LEGEND
from smaller.analysis.findings.finding import Finding
from smaller.base.files import write_csv
from smaller.base.paths import project_root
from smaller.base.words import count_of
from smaller.data.languages import names_of
from smaller.notebook.display import in_numbers, show
from smaller.notebook.saving import save

START, END = "<!-- findings -->", "<!-- /findings -->"
PLAIN = "outputs/reference/mini/plain.csv"


def over(languages: pd.Series, seeds: pd.Series) -> str:
    """What the captions of a run say of the languages and seeds that are behind a figure."""
    return f"{names_of(sorted(set(languages)))}; {count_of(seeds.nunique(), 'seed')}"


class ReferenceRun:
    """One folder of `outputs/reference`: `records.csv` is read, and `tables/`, `figures/` and `README.md` are written.

    `notebook` is the one that its figures are of.
    """

    def __init__(self, folder: Path, *, notebook: str) -> None:
        self.folder, self.notebook, self.drawn = folder, notebook, []

    def records(self, name: str = "records.csv") -> pd.DataFrame:
        """A file of records as `results.table` gives them: text that is missing is empty."""
        table = pd.read_csv(self.folder / name, low_memory=False)
        text = [column for column, own in table.items() if not pd.api.types.is_numeric_dtype(own)]
        return table.assign(**{column: table[column].fillna("") for column in text})

    def table(self, frame: pd.DataFrame, caption: str, name: str, **options: object) -> str:
        """Save a table as a CSV, and give it as Markdown with its caption; `options` are those of `show`."""
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            show(frame, caption, name, folder=Path(folder), **options)
            (self.folder / "tables" / f"{name}.csv").write_bytes((Path(folder) / f"{name}.csv").read_bytes())
            return (Path(folder) / f"{name}.md").read_text(encoding="utf-8").strip()

    def tables(self, frames: Mapping[str, pd.DataFrame]) -> None:
        """Save tables as CSVs by their names."""
        for name, frame in frames.items():
            write_csv(in_numbers(frame), self.folder / "tables" / f"{name}.csv")

    def figure(self, drawing: object, name: str, *, caption: str, alt: str, **about: object) -> None:
        """Save a figure as PNG, with its data as CSV, for the page; `about` is what `save` takes besides.

        Without a drawing, the picture stays as it was made.
        """
        if drawing is not None:
            card = save(drawing, name, caption=caption, alt=alt, folder=self.folder / "figures", **about)
            card.svg.unlink()
            caption = card.caption
        self.drawn.append(f"![{alt}](figures/{name}.png)\n\n**{name}.** {caption}")

    def ahead(self, records: pd.DataFrame) -> Finding:
        """Whether the dense models of some records are ahead of those without an encoder, which `PLAIN` holds."""
        home = records["dataset"] + "/" + records["language"] == records["trained_on"]
        home &= records["noise"].isna() | (records["noise"] == "")
        # A joint model's own test set is of several languages, and is none.
        home &= ~records["language"].str.contains("+", regex=False)
        plain = pd.read_csv(project_root() / PLAIN, keep_default_na=False)
        return baselines.ahead(records[home].assign(score=records["f1"]), plain)

    def findings(self, parts: Iterable[object]) -> None:
        """Put sentences, figures and tables between the markers of the page, with an empty line between two of them.

        Figures stand before the first table, or last where there is none. Where ids are used, the legend comes first.
        """
        page = self.folder / "README.md"
        before, _, rest = page.read_text(encoding="utf-8").partition(START)
        told = [str(part).strip() for part in parts]
        first = next((place for place, part in enumerate(told) if part.startswith("|")), len(told))
        told[first:first] = self.drawn
        text = "\n\n".join([LEGEND, *told] if any(map(ID.search, told)) else told)
        page.write_text(f"{before}{START}\n\n{text}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")
