"""The table of a run, folded and sortable, and what captions say of intervals; `test_report` has the pages."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pandas as pd
import pytest
from bs4 import BeautifulSoup

from smaller.analysis import sentences
from smaller.analysis.comparison import AGREES, DIFFERS, LEVEL, NOT_DECIDED, Comparison, between
from smaller.analysis.findings.finding import Finding, missing
from smaller.analysis.statistics import LACKING, Interval, t_interval
from smaller.base import paths
from smaller.notebook import display
from smaller.study import results

pytestmark = pytest.mark.usefixtures("fresh_folders")


def parts(displayed: list) -> list[tuple]:
    """What is displayed: HTML, plain text, and the card that the page reads."""
    return [(forms["text/html"], forms["text/plain"], about["smaller"]) for forms, about in displayed]


def run_of(rows: list[dict]) -> pd.DataFrame:
    """A table as `study.run` gives it."""
    usual = {"encoder": "tiny", "dataset": "sample", "language": "swa", "split": "test", "seed": 1, "noise": ""}
    usual |= {"score": 80.0, "shipped_bytes": 2e6, "parameters": 3e6, "technique": "dense", "group": "dense"}
    return pd.DataFrame([usual | row for row in rows], columns=[*results.COLUMNS, "group"])


def test_the_table_of_a_run_has_its_main_columns_as_far_as_they_differ(displayed) -> None:
    rows = [{"seed": 1}, {"seed": 2, "score": 1234.5}, {"group": ("pruned", "global"), "sparsity": 0.5}]
    rows += [{"split": "dev", "score": 1.0}, {"noise": "unlabelled", "score": float("nan")}]
    display.browse(run_of(rows), "run-x")
    content, _, card = parts(displayed)[0]
    page = BeautifulSoup(content, "html.parser")
    assert [cell.get_text() for cell in page.select("thead th")] == ["group", "seed", "sparsity", "score"]
    cells = [[cell.get_text() for cell in row.select("th, td")] for row in page.select("tbody tr")]
    assert cells == [
        ["dense", "1", "–", "80.0"],
        ["dense", "2", "–", "1,234.5"],
        ["pruned, global", "1", "0.50", "80.0"],
    ]
    assert page.find("details").find("table")["class"] == ["sortable"] and page.find("script").string == display.SORT
    assert card["name"] == "run-x" and "open" not in page.find("details").attrs


def test_where_the_gate_refuses_claims_the_box_and_the_index_say_so(displayed) -> None:
    """The index told what a format saves, and not that the encoder is behind a model without one."""
    found = Finding("It is smaller.", "By much.", quantity=1.0)
    leads = (between([-3.0, -2.0, -2.5]), between([3.0, 2.0, 2.5]))
    for lead in leads:
        display.answer(found, ahead=Finding("On it goes.", quantity=replace(lead, corrected=lead.p)))
    display.answer(missing("Students"), ahead=Finding("On it goes.", quantity=leads[0]))
    (_, told, card), (_, free, other), (_, nothing, _) = parts(displayed)
    why = "Nothing is claimed of compression, since the encoder is behind a model without an encoder."
    assert told.startswith(f"It is smaller. By much.\n\n{why} What is said here")
    assert card["headline"] == f"It is smaller. {why}"
    assert card["lead"].endswith(why) and (free, other["headline"]) == ("It is smaller. By much.", "It is smaller.")
    assert nothing == "Students were not measured."


@pytest.mark.parametrize(
    ("interval", "told"),
    [
        (Interval(81.24, 80.84, 81.64, 3), "81.2 ± 0.4"),
        (Interval(81.24, 80.04, 81.64, 300, "bootstrap over sentences"), "81.2 [80.0, 81.6]"),
        (Interval(0.04, -0.06, 0.01, 300), "0.0 [-0.1, 0.0]"),
        (Interval(81.24, math.nan, math.nan, 1), "81.2"),
        (Interval(math.nan, math.nan, math.nan, 0), "–"),
        (Interval(math.nan, math.nan, math.nan, 0, LACKING), "not recorded"),
    ],
)
def test_a_cell_shows_half_the_interval_only_where_it_is_symmetric(interval, told):
    """Once, the upper half stood behind ± for both sides of a bootstrap interval."""
    assert display.plus_minus(interval) == told
    if interval.known:
        assert display.plus_minus(interval, 2, sign="+").startswith(f"{interval.mean:+.2f}")


def test_a_long_run_shows_its_first_rows_and_keeps_all(displayed) -> None:
    display.browse(run_of([{"seed": seed} for seed in range(1, display.ROWS + 6)]), "run-long")
    content, _, card = parts(displayed)[0]
    assert len(BeautifulSoup(content, "html.parser").select("tbody tr")) == display.ROWS
    assert [int(count) for count in re.findall(r"\d+", card["caption"])] == [display.ROWS, display.ROWS + 5]
    assert len(pd.read_csv(paths.outputs_folder() / "tables" / "run-long.csv")) == display.ROWS + 5


def test_a_run_without_scores_is_an_empty_table(displayed) -> None:
    display.browse(run_of([]), "run-empty")
    assert [cell.get_text() for cell in BeautifulSoup(parts(displayed)[0][0], "html.parser").select("th")] == ["score"]


def test_a_caption_says_what_its_intervals_and_verdicts_are(displayed) -> None:
    seeds, drawn = t_interval([80.0, 81.0]), Interval(80.0, 79.0, 82.0, 500, sentences.KIND)
    alike = between([0.0, 0.0])
    tables = {"a": [1.0]}, {"F1": [seeds]}, {"F1": [drawn]}, {"change": [Comparison(seeds)]}, {"change": [alike]}
    for frame in tables:
        display.show(pd.DataFrame(frame), "F1.", "x")
    over_seeds, over_sentences = "±: half a 95 % t interval over seeds.", "[low, high]: a 95 % bootstrap interval"
    verdict = display.VERDICT.format("1 comparison")
    captions = [card["caption"] for *_, card in parts(displayed)]
    assert captions[:2] == ["F1.", f"F1. {over_seeds}"] and captions[2].startswith(f"F1. {over_sentences}")
    assert captions[3] == f"F1. {over_seeds} {verdict}"
    assert alike.verdict == AGREES and captions[4] == f"{captions[3]} {display.ALIKE}"
    assert verdict in (paths.outputs_folder() / "tables" / "x.md").read_text(encoding="utf-8")


def test_a_row_says_that_it_is_the_correction_which_leaves_it_undecided(displayed) -> None:
    """An interval below zero beside a plain "not decided" reads as a mistake."""
    alone = between([-43.0, -46.0], languages=("hau",))
    assert alone.verdict == DIFFERS and alone.p < LEVEL
    frame = pd.DataFrame({"change": [alone, replace(alone, corrected=0.2, of=8), between([0.0, 3.0])]})
    display.show(frame, "Changes.", "x")
    told = re.findall(r"^\|.+\((.+)\) \|$", (paths.outputs_folder() / "tables" / "x.md").read_text("utf-8"), re.M)
    assert told == [DIFFERS, f"{NOT_DECIDED} after correction", NOT_DECIDED]


def test_what_no_interval_covers_is_in_the_caption_and_in_the_csv(displayed) -> None:
    """What was drawn once, what one side lacks, and which seeds are left out stood in sentences alone."""
    whole = between([1.0, 2.0], languages=("hau", "swa"))
    part = between([1.0, 2.0], languages=("swa",), drawn_once=("the adaptation",), lacking=("hau",), left_out=(3, 4))
    part = replace(part, of=8)
    display.show(pd.DataFrame({"stage": ["dense", "adapted"], "change": [whole, part]}), "Changes.", "x")
    ((_, _, card),) = parts(displayed)
    assert card["caption"].endswith(": the adaptation.")
    found = pd.read_csv(paths.outputs_folder() / "tables" / "x.csv", keep_default_na=False)
    assert found["change, drawn once"].tolist() == ["", "the adaptation"]
    assert found["change, languages that one side lacks"].tolist() == ["", "hau"]
    assert found["change, rows that one side lacks"].tolist() == ["", ""], "the columns are always the same"
    assert found["change, seeds left out"].tolist() == ["", "3, 4"] and found["change, comparisons"].tolist() == [1, 8]
    assert display.VERDICT.format("1 or 8 comparisons") in card["caption"]
