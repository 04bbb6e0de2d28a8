import dataclasses
import os
import re

import nbformat
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from test_runner import CHECK, TOUCHED, write

from smaller import report
from smaller.analysis.comparison import Comparison
from smaller.analysis.findings.finding import Finding, missing
from smaller.analysis.statistics import Interval, t_interval
from smaller.base.errors import SmallerError
from smaller.study import Plan, plans

RESULT = """
import pandas as pd
from matplotlib.figure import Figure
from smaller import report
from smaller.analysis.findings.finding import Finding
from smaller.notebook.saving import save

table = pd.DataFrame({"seed": settings.seeds, "f1": [81.25] * len(settings.seeds)})
axes = Figure(figsize=(3, 2)).subplots()
axes.plot(table["seed"], table["f1"], "o")
report.answer(Finding(f"About {table['f1'].mean():.1f} <points>.", "\\n\\nNot more."))
report.show(table, "Scores, n = 2", "scores")
save(axes, "scores", table=table, caption="F1 is flat & <high>", alt="two dots at 81")
"""


def executed(path, *outputs, source="1", cells=(), **run):
    """An executed notebook without a kernel."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text) for text in cells])
    notebook.cells.append(nbformat.v4.new_code_cell(source, outputs=list(outputs)))
    notebook.metadata["smaller"] = {"status": "done", "seconds": 3.0, "provenance": {"date": "2024-05-01"}} | run
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


def captured(displayed, call, *arguments, **options) -> tuple[BeautifulSoup, str, dict]:
    """What a call displays: HTML, plain text, and the card that the page reads."""
    call(*arguments, **options)
    forms, about = displayed[-1]
    return BeautifulSoup(forms["text/html"], "html.parser"), forms["text/plain"], about["smaller"]


def shown(data, **metadata):
    return nbformat.v4.new_output("display_data", data, metadata=metadata)


def test_a_study_runs_fails_in_part_and_is_reported(outputs, tmp_path):
    notebooks = tmp_path / "with {braces} and space" / "notebooks"
    write(notebooks / "00_first.ipynb", CHECK, "## Result", RESULT, "## Result\n\n[next](01_second.ipynb)")
    failing = "from smaller.base.errors import SmallerError\nraise SmallerError('no data at all: fetch them')"
    write(notebooks / "01_second.ipynb", CHECK, "print('<b>bold</b>')", failing, "late = 1")
    (notebooks / "profiles").mkdir()
    (notebooks / "profiles" / "mini.yaml").write_text("study:\n  seeds: [1, 2]\n")
    said = []
    runs = report.run_all("mini", notebooks=notebooks, overrides={"encoder": "mbert"}, progress=said.append)

    assert [(run.name, run.status) for run in runs] == [("00_first", "done"), ("01_second", "failed")]
    assert runs[1].error == "no data at all: fetch them"
    assert any("00_first: notebook 1 of 2" in line for line in said) and str(outputs / "report") in said[-1]

    kept = nbformat.read(outputs / "notebooks" / "01_second.ipynb", as_version=4)
    assert kept.metadata["kernelspec"]["name"] == "python3" and kept.metadata["smaller"]["status"] == "failed"
    assert [cell.execution_count for cell in kept.cells if cell.source == "late = 1"] == [None]
    assert (outputs / "tables" / "scores.md").read_text().startswith("| seed | f1 |\n| ---: | ---: |\n| 1 | 81.2 |")
    assert pd.read_csv(outputs / "figures" / "scores.csv")["f1"].tolist() == [81.25, 81.25]

    text = (outputs / "report" / "00_first.html").read_text(encoding="utf-8")
    page = BeautifulSoup(text, "html.parser")
    assert page.find("figure").find("img")["alt"] == "two dots at 81"
    assert page.find("figcaption").get_text().startswith("F1 is flat & <high>")
    links = {link["href"] for link in page.select("a")}
    files = {"../figures/scores.csv", "../figures/scores.svg", "../tables/scores.csv", "../notebooks/00_first.ipynb"}
    assert files | {"01_second.html", "index.html"} <= links
    assert all((outputs / "report" / link).exists() for link in links if not link.startswith("#"))
    anchors = [link["href"][1:] for link in page.select("nav.contents a")]
    assert anchors == ["result", "result-2"] and all(page.find(id=anchor) for anchor in anchors)
    assert page.select("header .answer p")[0].get_text() == "About 81.2 <points>."
    # The answer stands once, above; where the notebook gave it there is a link.
    assert text.count("About 81.2") == 1 and page.select_one("main .again a")["href"] == "#answer"
    assert [link["href"] for link in page.select("nav.turn a")] == ["01_second.html", "index.html"]
    assert "seeds = [1, 2]" in page.find("details").parent.parent.get_text()
    assert not page.select("main script, link, iframe") and not re.search(r"(src|href)=\"https?:", text)
    assert len(text) < 1_000_000 and 'name="viewport"' in text and str(outputs) not in page.find("footer").get_text()

    failed = (outputs / "report" / "01_second.html").read_text(encoding="utf-8")
    assert "no data at all: fetch them" in failed and "&lt;b&gt;bold" in failed
    first = BeautifulSoup((outputs / "report" / "index.html").read_text(encoding="utf-8"), "html.parser")
    cards = first.select("article")
    assert [card.find("h3").get_text() for card in cards] == ["What is it?", "What is it?"]
    assert [[cell.get_text() for cell in row.select("th, td")] for row in first.select(".answers tbody tr")] == [
        ["What is it?", "About 81.2 <points>."],
        ["What is it?", "Did not finish. no data at all: fetch them"],
    ]
    assert "About 81.2 <points>." in cards[0].get_text() and cards[0].find("img")["alt"] == "two dots at 81"
    assert "Did not finish. no data at all" in cards[1].get_text()
    assert not first.select(".sample")


def test_a_demonstration_says_so_and_progress_lines_stay_out_of_the_page(tmp_path):
    progress = nbformat.v4.new_output("stream", name="stderr", text="run 1 of 2\n")
    page = report.render(executed(tmp_path / "03_look.ipynb", progress, sample=True))
    assert page.sample and "Demonstration." in page.html and "run 1 of 2" not in page.html
    assert "sample data" in report.index([page])


def test_a_dry_run_ends_where_a_notebook_would_start_to_work(outputs, tmp_path):
    plan = f"display({{'{plans.SHOWN}': {{'recipes': len(seeds), 'done': 0, 'trainings': 3}}}}, raw=True)"
    write(tmp_path / "00_a.ipynb", "'a number'", plan, "1 / 0")
    write(tmp_path / "01_b.ipynb", "raise KeyError('amh')", plan)
    write(tmp_path / "02_c.ipynb", "1 / 0")
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "mini.yaml").write_text("study:\n  seeds: [4, 5]\n")
    first, second, third = report.run_all("mini", dry_run=True, notebooks=tmp_path)
    assert (first.status, first.plan, first.error) == ("planned", Plan(recipes=2, done=0, trainings=3), "")
    assert (second.status, second.plan, second.error) == ("failed", None, "KeyError: 'amh'")
    assert (third.status, third.plan) == ("planned", None)  # it does not say what it would do: nothing of it is run
    assert not (outputs / "notebooks").exists() and not (outputs / "report").exists()


def test_every_notebook_is_checked_before_the_first_starts_and_a_dry_run_ends_there(outputs, tmp_path):
    write(tmp_path / "00_a.ipynb", TOUCHED)
    write(tmp_path / "01_b.ipynb", parameters="rate: float = 0.1\n")
    (tmp_path / "profiles").mkdir()
    profile = tmp_path / "profiles" / "mini.yaml"
    profile.write_text("study:\n  seeds: [4]\n")
    planned = report.run_all("mini", dry_run=True, notebooks=tmp_path)
    assert [(run.name, run.status, run.parameters) for run in planned] == [
        ("00_a", "planned", {"encoder": "sample-small", "seeds": [4]}),
        ("01_b", "planned", {"rate": 0.1}),
    ]
    assert [run.name for run in report.run_all("mini", only=["01_b"], dry_run=True, notebooks=tmp_path)] == ["01_b"]
    with pytest.raises(SmallerError, match="Did you mean '01_b'"):
        report.run_all("mini", only=["01_c"], notebooks=tmp_path)
    profile.write_text("01_b:\n  rate: fast\n")
    with pytest.raises(SmallerError, match="section 01_b is 'fast'"):
        report.run_all("mini", notebooks=tmp_path)
    assert not outputs.exists() and not (tmp_path / "touched").exists(), "no notebook was run"


def test_an_image_without_alternative_text_is_an_error(tmp_path):
    picture = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
    bare = executed(tmp_path / "00_bare.ipynb", shown({"image/png": picture}))
    with pytest.raises(SmallerError, match="00_bare.ipynb: an image has no alternative text"):
        report.render(bare)
    named = executed(tmp_path / "01_named.ipynb", shown({"image/png": picture}, **{"image/png": {"alt": 'a "dot"'}}))
    assert BeautifulSoup(report.render(named).html, "html.parser").find("img")["alt"] == 'a "dot"'


@pytest.mark.parametrize(
    "markup",
    ['<script src="https://cdn.example/x.js"></script>', '<img alt="x" src="https://example.org/x.png">', "<iframe>"],
)
def test_anything_that_a_browser_would_fetch_or_run_is_an_error(tmp_path, markup):
    with pytest.raises(SmallerError, match="00_x.ipynb"):
        report.render(executed(tmp_path / "00_x.ipynb", shown({"text/html": markup})))


def test_scripts_widgets_and_markup_from_data_do_not_reach_the_page(tmp_path):
    outputs = [
        shown({"application/javascript": "alert(1)", "text/plain": "plain"}),
        shown({"text/markdown": "**bold** <img src=x>"}),
        nbformat.v4.new_output("stream", name="stdout", text="<script>alert(1)</script>"),
        shown({"text/html": pd.DataFrame({"word": ["<i>x</i>"]}).to_html()}),
    ]
    page = BeautifulSoup(report.render(executed(tmp_path / "00_x.ipynb", *outputs)).html, "html.parser")
    assert not page.select("main script, img, i") and page.find("strong").get_text() == "bold"
    assert "plain" in page.get_text() and page.find("table").parent["class"] == ["scroll"]


def test_a_widget_leaves_no_trace(tmp_path):
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "0f"}, "text/plain": "VBox()"}
    page = report.render(executed(tmp_path / "00_x.ipynb", shown(widget)))
    assert "widget" not in page.html and "model_id" not in page.html


def test_links_to_notebooks_lead_to_pages_or_nowhere(tmp_path):
    path = executed(tmp_path / "00_x.ipynb", cells=["# Title\n\n[one](01_one.ipynb) [two](02_two.ipynb)"])
    page = report.render(path, pages={"01_one": "One?"})
    links = [link["href"] for link in BeautifulSoup(page.html, "html.parser").select("main a")]
    assert links == ["01_one.html"] and "two" in page.html and page.title == "Title"


def test_the_report_writes_what_it_can_and_names_what_it_cannot(outputs):
    executed(outputs / "notebooks" / "00_good.ipynb", cells=["# Good"])
    executed(outputs / "notebooks" / "01_bad.ipynb", shown({"text/html": "<iframe>"}))
    with pytest.raises(SmallerError, match="01_bad"):
        report.write_report()
    assert (outputs / "report" / "00_good.html").exists()
    assert "Good" in (outputs / "report" / "index.html").read_text()
    assert not [name for name in os.listdir(outputs / "report") if name.startswith(".")]


def test_an_empty_report_says_how_to_fill_it(outputs):
    assert "No notebook has been run yet" in report.write_report().read_text()


def test_show_escapes_aligns_and_saves(outputs, displayed):
    frame = pd.DataFrame(
        {"language": ["<b>Yorùbá</b>", "a|b"], "f1": [81.256, float("nan")], "n": [3, 0], "share": [0.5, 1.0]}
    )
    options = {"decimals": {"f1": 2, "share": 0}}
    table, markdown, card = captured(displayed, report.show, frame, "Scores & <n>", "scores", **options)
    assert [cell.get_text() for cell in table.select("tbody tr:first-child > *")] == [
        "<b>Yorùbá</b>",
        "81.26",
        "3",
        "0",
    ]
    assert table.select_one("tbody tr:last-child td").get_text() == "–"
    assert table.select_one("tbody th")["scope"] == "row" and "Scores & <n>" in table.find("caption").get_text()
    assert card["files"] == ["tables/scores.csv", "tables/scores.md"]
    assert r"| a\|b | – | 0 | 1 |" in markdown
    assert (outputs / "tables" / "scores.csv").read_text().splitlines()[1] == "<b>Yorùbá</b>,81.256,3,0.5"
    with pytest.raises(SmallerError, match="file name"):
        report.show(frame, "x", "../scores")


def test_a_named_index_and_two_level_columns_become_plain_columns(outputs):
    frame = pd.DataFrame({"language": ["swa"], "order": ["before"], "f1": [1.0]})
    report.show(frame.pivot(index="language", columns="order", values=["f1"]), "x", "wide")
    assert (outputs / "tables" / "wide.csv").read_text() == "language,f1 before\nswa,1\n"


DIFFERENCE = Comparison(Interval(-1.25, -1.5, -1.0, 3), 0.002, 0.004, 2, ("hau", "swa"), ("the adaptation",))
ONE_SEED = Comparison(Interval(2.0, float("nan"), float("nan"), 1))
UNMEASURED = Comparison(Interval(float("nan"), float("nan"), float("nan"), 0))


def test_intervals_and_comparisons_are_cells_on_a_page_and_numbers_in_a_csv(outputs, displayed):
    frame = pd.DataFrame(
        {
            "model": ["small", "tiny", "none", "dense"],
            "F1": [
                Interval(81.256, 79.9, 82.5, 3),
                Interval(70.0, float("nan"), float("nan"), 1),
                None,
                t_interval([]),
            ],
            "minus dense": [DIFFERENCE, ONE_SEED, UNMEASURED, None],
            "loss": [-0.01, 0.5, float("nan"), 1.0],
        }
    )
    soup, markdown, _ = captured(displayed, report.show, frame, "x", "cells", decimals={"F1": 2})
    rows = [[cell.get_text() for cell in row.select("th, td")] for row in soup.select("tbody tr")]
    assert rows == [
        ["small", "81.26 [79.90, 82.50]", "-1.2 ± 0.2 (differs)", "0.0"],
        ["tiny", "70.00", "+2.0 (not decided)", "0.5"],
        ["none", "–", "not measured", "–"],
        ["dense", "–", "–", "1.0"],
    ]
    assert "| small | 81.26 [79.90, 82.50] | -1.2 ± 0.2 (differs) | 0.0 |" in markdown
    classes = [cell.get("class") for cell in soup.select("tbody tr:first-child > *")]
    assert classes == [None, ["number"], None, ["number"]]
    kept = pd.read_csv(outputs / "tables" / "cells.csv")
    fields = ["mean", "low", "high", "n"]
    lacking = ["languages that one side lacks", "rows that one side lacks", "seeds left out"]
    assert list(kept) == [
        "model",
        *(f"F1, {name}" for name in fields),
        *(
            f"minus dense, {name}"
            for name in [*fields, "p", "p (Holm)", "comparisons", "verdict", "drawn once", *lacking]
        ),
        "loss",
    ]
    assert kept.loc[0, [f"F1, {name}" for name in fields]].tolist() == [81.256, 79.9, 82.5, 3]
    assert kept["F1, n"].tolist()[:2] == [3, 1] and kept["F1, n"].tolist()[3] == 0 and pd.isna(kept.loc[2, "F1, n"])
    back = Interval(*kept.loc[0, [f"minus dense, {name}" for name in fields]])
    again = Comparison(back, *kept.loc[0, ["minus dense, p", "minus dense, p (Holm)"]])
    assert again.interval == DIFFERENCE.interval and again.verdict == kept.loc[0, "minus dense, verdict"] == "differs"
    assert kept["minus dense, verdict"].tolist()[1:3] == ["not decided", "not measured"]
    assert pd.isna(kept.loc[3, "minus dense, verdict"]) and kept.loc[0, "loss"] == -0.01
    assert "3.0" not in (outputs / "tables" / "cells.csv").read_text(), "a count has no decimals"


def test_a_table_without_such_cells_stays_as_it_is():
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    assert report.in_numbers(frame).equals(frame) and report.in_numbers(pd.DataFrame()).empty


def test_an_interval_beside_a_comparison_is_kept_too():
    found = report.in_numbers(pd.DataFrame({"d": [DIFFERENCE, Interval(1.0, 0.5, 1.5, 2)]}))
    assert found["d, mean"].tolist() == [-1.25, 1.0] and found["d, n"].tolist() == [3, 2]
    assert found["d, verdict"].iloc[0] == "differs" and pd.isna(found["d, verdict"].iloc[1])


def test_cells_are_bold_or_underlined_by_place_and_name(outputs, displayed):
    frame = pd.DataFrame(
        {"model": ["a", "<b>"], "F1": [Interval(81.0, 80.0, 82.0, 3), Interval(70.0, 69.0, 71.0, 3)], "of": ["x", "y"]},
        index=[7, 9],
    )
    frame.attrs |= {"bold": {(0, "F1"), (1, "model")}, "underlined": {(0, "F1")}}
    soup, markdown, _ = captured(displayed, report.show, frame, "x", "marked")
    assert [cell.get_text() for cell in soup.select("tbody strong")] == ["81.0 ± 1.0", "<b>"]
    assert [cell.get_text() for cell in soup.select("tbody u")] == ["81.0 ± 1.0"] and not soup.select("thead strong")
    assert "| a | **_81.0 ± 1.0_** | x |" in markdown
    text = (outputs / "tables" / "marked.csv").read_text()
    assert "*" not in text and "_" not in text


def test_marks_hold_for_columns_of_two_levels_and_a_named_index(outputs, displayed):
    wide = pd.DataFrame({"language": ["swa"], "order": ["before"], "f1": [1.0]}).pivot(
        index="language", columns="order", values=["f1"]
    )
    wide.attrs["bold"] = {(0, "f1 before")}
    soup, *_ = captured(displayed, report.show, wide, "x", "wide")
    assert soup.select_one("tbody strong").get_text() == "1.0"


def test_what_looks_like_markdown_is_text(outputs, displayed):
    frame = pd.DataFrame({"cell": ["__**65.8**__", "a ** b", "__init__.py"]})
    soup, *_ = captured(displayed, report.show, frame, "x", "plain")
    assert [cell.get_text() for cell in soup.select("tbody th")] == frame["cell"].tolist()
    assert not soup.select("strong, u")


def test_a_cell_leads_to_a_page(outputs, displayed):
    frame = pd.DataFrame({"where": ["a", "[no](http://x)"]})
    frame.attrs["links"] = {(0, "where"): "02_x.ipynb#figure-a"}
    soup, markdown, _ = captured(displayed, report.show, frame, "x", "links")
    assert [link["href"] for link in soup.select("a")] == ["02_x.ipynb#figure-a"]
    assert "| [a](02_x.ipynb#figure-a) |" in markdown


def test_an_answer_carries_the_headline_of_what_was_measured(displayed):
    nothing, found = missing("Random masks"), Finding("It falls.", "By 2 points.\n\nSo & so.", quantity=ONE_SEED)
    soup, plain, card = captured(displayed, report.answer, nothing, found)
    assert [part.get_text() for part in soup.select("p")] == [str(nothing), "It falls. By 2 points.", "So & so."]
    assert (card["headline"], card["verdict"], card["lead"]) == ("It falls.", "not decided", "It falls. By 2 points.")
    assert plain == card["text"] == "\n\n".join([str(nothing), "It falls. By 2 points.", "So & so."])
    _, _, card = captured(displayed, report.answer, nothing)
    assert (card["headline"], card["verdict"]) == (nothing.headline, "not measured")
    with pytest.raises(SmallerError, match="was given none"):
        report.answer()


def test_a_box_says_nothing_twice(displayed):
    refused = Finding("Nothing is claimed.", verdict="not comparable")
    soup, plain, _ = captured(displayed, report.answer, refused, Finding("It is ahead."), refused)
    assert [part.get_text() for part in soup.select("p")] == ["Nothing is claimed.", "It is ahead."]


def test_the_index_takes_headlines_leads_and_verdicts(tmp_path, displayed):
    nothing, found = missing("Random masks"), Finding("It falls.", "By 2 points.\n\nMore.", quantity=ONE_SEED)
    soup, plain, card = captured(displayed, report.answer, nothing, found)
    box = shown({"text/html": str(soup), "text/plain": plain}, smaller=card)
    page = report.render(executed(tmp_path / "00_x.ipynb", box, cells=["# How?"]))
    assert (page.headline, page.lead, page.verdict) == ("It falls.", "It falls. By 2 points.", "not decided")
    first = BeautifulSoup(report.index([page]), "html.parser")
    (row,) = first.select(".answers tbody td")
    assert row.find(string=True).strip() == "It falls." and row.select_one(".label").get_text() == "not decided"
    assert "It falls. By 2 points." in first.select_one("article").get_text()
    assert "were not measured" not in first.select_one("article").get_text()
    decided = dataclasses.replace(page, verdict="answered")
    assert not BeautifulSoup(report.index([decided]), "html.parser").select(".answers .label")


def test_a_box_of_an_earlier_version_still_has_its_text(tmp_path):
    card = {"kind": "answer", "text": "F1 is 81.2.\n\nMore."}
    page = report.render(executed(tmp_path / "00_x.ipynb", shown({"text/html": "<div></div>"}, smaller=card)))
    assert (page.answer, page.headline, page.verdict) == (card["text"], "", "")


def test_pages_lead_to_their_neighbours(tmp_path):
    titles = {"00_a": "A?", "01_b": "B?", "02_c": "C?"}
    for name, near in (("00_a", ["01_b"]), ("01_b", ["00_a", "02_c"]), ("02_c", ["01_b"])):
        page = BeautifulSoup(report.render(executed(tmp_path / f"{name}.ipynb"), pages=titles).html, "html.parser")
        above = [link["href"] for link in page.select("nav.path a")]
        assert above == ["index.html", *(f"{other}.html" for other in near)]
        below = {link["href"]: link.get_text() for link in page.select("nav.turn a")}
        assert set(below) == set(above) and all(titles[other] in below[f"{other}.html"] for other in near)


def test_long_tables_scroll_and_short_numbers_and_tags_do_not_break(tmp_path):
    long = "more than 24 letters of words"
    frame = pd.DataFrame({"model": range(30), "F1": "81.0 ± 0.9", "tag": "B-DATE", "said": long})
    path = executed(tmp_path / "00_x.ipynb", shown({"text/html": frame.to_html(index=False)}))
    page = BeautifulSoup(report.render(path).html, "html.parser")
    assert page.find("table").parent["class"] == ["scroll", "tall"]
    classes = [cell.get("class") for cell in page.select("tbody tr")[0].select("td")]
    assert classes == [["short"], ["short"], ["short"], None]
    assert page.select("td")[1].get_text() == "81.0\u00a0±\u00a00.9"


def test_the_index_says_what_was_studied_and_what_it_took():
    step = {"step": "FineTune", "dataset": "sample", "language": "swa", "seed": 1}
    record = {
        "recipe": {"encoder": "sample-small", "steps": [step]},
        "steps": [step | {"report": {"updates": 5, "seconds": 3600.0}}],
        "cost": {"evaluation_seconds": 1800.0},
        "provenance": {"device": "x86_64 processor, 2 threads"},
    }
    page = report.Page(
        "08_x",
        "Which?",
        "That one. And more.",
        "",
        "That one.",
        seconds=120.0,
        sample=True,
        parts={"pareto": '<figure id="figure-pareto"><img alt="a front" src="data:,"></figure>'},
    )
    # One shared training of an hour and two scorings of half an hour, on two threads: four core hours.
    text = BeautifulSoup(report.index([page], [record, record]), "html.parser")
    said = text.find("main").get_text(" ", strip=True)
    assert (
        "60 min for 1 training, which recipes share" in said
        and "60 min for 2 models" in said
        and "2 min for the" in said
    )
    assert "about 0.05 kWh, an estimate and not a measurement" in said  # 4 h of 12 W: 0.048
    studied = text.select_one("header dl").get_text(" ", strip=True)
    assert "Swahili (swa)" in studied and "sample-small" in studied
    assert "Demonstration." in text.find("header").get_text()
    assert text.find("figure") and text.select_one(".lead").get_text() == "That one. And more."
    assert text.select_one(".answers td").get_text().strip() == "That one."
