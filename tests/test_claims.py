"""The list of claims: one rule judges each by what was found, and the summary says of each what became of it."""

from __future__ import annotations

import math
import re

import nbformat
import pytest

from smaller.analysis.comparison import AGREES, DIFFERS, NOT_COMPARABLE, NOT_DECIDED, NOT_MEASURED, Comparison
from smaller.analysis.findings import claims
from smaller.analysis.findings.finding import ANSWERED, Finding, missing
from smaller.analysis.statistics import Interval
from smaller.base import paths
from smaller.base.errors import SmallerError

NOTEBOOKS = {path.stem: path for path in paths.notebooks_folder().glob("*.ipynb")}


def test_every_claim_is_taken_up_by_a_page_that_has_its_figure():
    """`figures.save(..., "P1-F1")` and `show(..., "P1-T1")` make the anchors figure-P1-F1 and table-P1-T1."""
    for claim in claims.listed().to_dict("records"):
        cells = nbformat.read(NOTEBOOKS[claim["notebook"]], as_version=4).cells
        code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
        kind, name = claim["figure"].split("-", 1)
        named = f'"{name}"' in code or re.search(rf'f"{re.escape(name.rsplit("-", 1)[0])}-\{{', code)
        assert kind in {"figure", "table"} and named, claim


def test_every_question_of_the_papers_is_in_the_list():
    wanted = {f"Q{n}" for n in range(1, 11)} | {f"M{n}" for n in range(1, 4)} | {f"OQ{n}" for n in range(1, 4)}
    wanted |= {f"NC{n}" for n in range(1, 4)} | {"X1", "D23", "D24", "D25", "D26"} | {f"D{n}" for n in range(3, 16)}
    assert wanted <= set(claims.listed()["id"]) and claims.listed()["id"].is_unique


def claim(kind: str, says: str = "", value: str = "", margin: str = "", paper: str = "1") -> dict[str, str]:
    return {"id": "Q2", "kind": kind, "says": says, "value": value, "margin": margin, "paper": paper}


def comparison(low: float, high: float, *, n: int = 3, p: float = 0.01) -> Comparison:
    return Comparison(Interval((low + high) / 2, low, high, n), p, p)


ONE_SEED = Comparison(Interval(-9.0, math.nan, math.nan, 1))
AFRIBERTA, OTHER = "afriberta-base", "mini-base"


@pytest.mark.parametrize(
    ("says", "quantity", "verdict"),
    [
        ("more", comparison(0.6, 1.0), AGREES),
        ("more", comparison(-1.0, -0.6), DIFFERS),
        ("more", comparison(-0.4, 0.3, p=0.7), DIFFERS),
        ("more", comparison(-3.1, 2.9, p=0.9), NOT_DECIDED),
        ("less", comparison(-1.0, -0.6), AGREES),
        ("same", comparison(-0.4, 0.3, p=0.7), AGREES),
        ("keeps", comparison(-1.5, 0.2, p=0.2), AGREES),
        ("keeps", comparison(-4.0, -2.5), DIFFERS),
        ("keeps", comparison(-3.0, -0.5), NOT_DECIDED),
        ("more", ONE_SEED, NOT_DECIDED),
        ("keeps", ONE_SEED, NOT_DECIDED),
    ],
)
def test_a_relation_is_judged_by_the_comparison(says, quantity, verdict):
    found = Finding("Measured.", quantity=quantity)
    assert claims.judged(claim("relation", says), found, encoder=AFRIBERTA) == verdict
    elsewhere = claims.judged(claim("relation", says), found, encoder=OTHER)
    assert elsewhere == (verdict if verdict == NOT_DECIDED else verdict + claims.ELSEWHERE)


@pytest.mark.parametrize(
    ("says", "value", "margin", "quantity", "verdict"),
    [
        ("is", "64", "2", 63.0, AGREES),
        ("is", "64", "2", 60.0, DIFFERS),
        ("is", "64", "2", Interval(64, 63, 65, 3), AGREES),
        ("is", "64", "2", Interval(64, 60, 68, 3), NOT_DECIDED),
        ("is", "64", "2", Interval(50, 49, 51, 3), DIFFERS),
        ("is", "64", "2", Interval(64, math.nan, math.nan, 1), NOT_DECIDED),
        ("is", "64", "2", Interval(math.nan, math.nan, math.nan, 0), NOT_MEASURED),
        ("is", "-11", "1", comparison(-0.2, 0.2, p=0.9), DIFFERS),
        ("least", "95", "", 96.0, AGREES),
        ("least", "95", "", 90.0, DIFFERS),
        ("most", "13", "", 12.0, AGREES),
        ("most", "13", "1", Interval(14, 13.5, 15, 3), NOT_DECIDED),
    ],
)
def test_a_number_is_judged_by_its_margin(says, value, margin, quantity, verdict):
    found = Finding("Measured.", quantity=quantity, verdict="answered")
    for kind in ("arithmetic", "level"):
        assert claims.judged(claim(kind, says, value, margin), found, encoder=AFRIBERTA) == verdict
    assert claims.judged(claim("arithmetic", says, value, margin), found, encoder=OTHER) == verdict
    level = claims.judged(claim("level", says, value, margin), found, encoder=OTHER)
    assert level == NOT_COMPARABLE + claims.ELSEWHERE


def test_questions_what_was_not_measured_and_what_was_found_without_a_number():
    question = claim("question")
    assert claims.judged(question, Finding("So it is."), encoder=OTHER) == ANSWERED
    assert claims.judged(question, Finding("Perhaps.", quantity=ONE_SEED), encoder=OTHER) == NOT_DECIDED
    for kind in ("question", "relation", "level", "arithmetic"):
        assert claims.judged(claim(kind, "is", "1"), missing("Random masks"), encoder=OTHER) == NOT_MEASURED
    relation = claim("relation", "more")
    assert claims.judged(relation, Finding("So it is."), encoder=AFRIBERTA) == NOT_MEASURED
    assert claims.judged(relation, Finding("Open.", verdict=NOT_DECIDED), encoder=AFRIBERTA) == NOT_DECIDED
    assert claims.judged(relation, Finding("Other.", verdict=NOT_COMPARABLE), encoder=AFRIBERTA) == NOT_COMPARABLE


def test_an_encoder_of_the_other_paper_is_another_encoder():
    found = Finding("Measured.", quantity=comparison(0.6, 1.0))
    assert claims.judged(claim("relation", "more", paper="2"), found, encoder="mbert") == AGREES
    assert claims.judged(claim("relation", "more", paper="2"), found, encoder=AFRIBERTA) == AGREES + claims.ELSEWHERE


def test_a_claim_that_no_number_can_bear_out_is_an_error():
    with pytest.raises(SmallerError, match="Q2 says 'more', which no float can bear out"):
        claims.judged(claim("relation", "more"), Finding("Measured.", quantity=1.0), encoder=AFRIBERTA)
    with pytest.raises(SmallerError, match="says ''"):
        claims.judged(claim("level"), Finding("Measured.", quantity=1.0), encoder=AFRIBERTA)


def test_every_claim_of_the_list_can_be_judged():
    for one in claims.listed().to_dict("records"):
        assert one["kind"] in ("question", "relation", "level", "arithmetic"), one
        quantities = [comparison(-1.0, -0.6)] if one["kind"] == "relation" else [1.0, Interval(1, 0, 2, 3)]
        for quantity in quantities if one["kind"] != "question" else [None]:
            assert claims.judged(one, Finding("Measured.", quantity=quantity), encoder=AFRIBERTA)


def test_a_page_gives_a_row_for_each_finding_of_a_claim():
    more, less = (
        Finding(f"It is {word}.", quantity=found)
        for word, found in (("more", comparison(0.6, 1.0)), ("less", comparison(-1.0, -0.6)))
    )
    found = claims.of_page({"Q8": [more, less], "Q9, D9": less, "M1": missing("Random masks")}, encoder=OTHER)
    assert list(found) == claims.COLUMNS and found["id"].tolist() == ["Q8", "Q8", "Q9, D9", "M1"]
    elsewhere = [word + claims.ELSEWHERE for word in (AGREES, DIFFERS, DIFFERS)]
    assert found["verdict"].tolist() == [*elsewhere, NOT_MEASURED]
    assert found["measured"].tolist()[:2] == ["It is more.", "It is less."]
    known = claims.listed().set_index("id")
    assert found.loc[2, ["claim", "figure"]].tolist() == known.loc["Q9", ["claim", "figure"]].tolist()
    with pytest.raises(SmallerError, match="No claim has the id 'Q99'"):
        claims.of_page({"Q2, Q99": more}, encoder=OTHER)


def test_a_known_misprint_stands_beside_what_is_printed():
    known = claims.listed().set_index("id")
    name = known.index[known["misprint"] != ""][0]
    (row,) = claims.of_page({name: missing("Students")}, encoder=OTHER).to_dict("records")
    assert row["printed"] == f"{known.loc[name, 'printed']} ({known.loc[name, 'misprint']})"


def test_the_legend_names_what_every_id_begins_with():
    for name in claims.listed()["id"]:
        start = re.match(r"P\d|[A-Z]+(?=\d)", name)
        assert not start or re.search(rf"\b{start[0]}\b", claims.LEGEND) or name in claims.LEGEND, name


def test_the_summary_has_every_claim_once_or_more(fresh_folders):
    folder = paths.outputs_folder() / "tables"
    folder.mkdir(parents=True)
    one, other = (Finding(f"It is {number} %.", quantity=comparison(-1.0, -0.6)) for number in (60, 70))
    claims.of_page({"Q9, D9": one}, encoder=AFRIBERTA).to_csv(folder / "verdicts-one.csv", index=False)
    claims.of_page({"Q2": [one, other]}, encoder=AFRIBERTA).to_csv(folder / "verdicts-two.csv", index=False)
    found = claims.gathered(["02_pruning", "04_quantization"])
    assert list(found) == ["id", "claim", "verdict", "printed", "measured", "where"]
    named = [name for row in found["id"] for name in row.split(", ")]
    assert set(named) == set(claims.listed()["id"])
    assert found.loc[found["id"] == "Q2", "measured"].tolist() == ["It is 60 %.", "It is 70 %."]
    by_id = found.drop_duplicates("id").set_index("id")
    figure = claims.listed().set_index("id").loc["Q9", "figure"]
    assert by_id.loc["Q9, D9", "where"] == f"[04_quantization](04_quantization.ipynb#{figure})"
    assert by_id.loc["Q9, D9", "verdict"] == DIFFERS
    assert by_id.loc["D26", ["measured", "verdict"]].tolist() == [NOT_MEASURED, NOT_MEASURED]
    assert by_id.loc["Q1", "measured"] == "not measured: 03_distillation was not run"
    assert by_id.loc["Q1", "where"] == "03_distillation (not run)"
    places = {name: place for place, name in enumerate(claims.listed()["id"])}
    order = [places[row.split(", ")[0]] for row in found["id"]]
    assert order == sorted(order)
