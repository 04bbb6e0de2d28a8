"""The list of claims: one rule judges each by what was found, and the summary says of each what became of it."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import nbformat
import pytest

from smaller.analysis.comparison import AGREES, DIFFERS, NOT_COMPARABLE, NOT_DECIDED, NOT_MEASURED, Comparison
from smaller.analysis.findings import claims
from smaller.analysis.findings.finding import ANSWERED, Finding, missing
from smaller.analysis.statistics import LACKING, Interval
from smaller.base import paths
from smaller.base.errors import SmallerError
from smaller.data.published import published

NOTEBOOKS = {path.stem: path for path in paths.notebooks_folder().glob("*.ipynb")}


def test_every_claim_is_taken_up_by_a_page_that_has_its_figure():
    """`save(..., "P1-F1")` and `show(..., "P1-T1")` make the anchors figure-P1-F1 and table-P1-T1."""
    for claim in claims.listed().to_dict("records"):
        cells = nbformat.read(NOTEBOOKS[claim["notebook"]], as_version=4).cells
        code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
        kind, name = claim["figure"].split("-", 1)
        named = f'"{name}"' in code or re.search(
            rf'f"({re.escape(name)}|{re.escape(name.rsplit("-", 1)[0])}-)\{{', code
        )
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
    assert claims.judged(claim("relation", says), found, encoder=OTHER) == verdict + claims.ELSEWHERE


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
    nothing = Finding("No pair.", quantity=Comparison(Interval(math.nan, math.nan, math.nan, 0)))
    relation = claim("relation", "more")
    assert claims.judged(relation, nothing, encoder=OTHER) == NOT_MEASURED, "and so on no encoder"
    assert claims.judged(relation, Finding("Open.", verdict=NOT_DECIDED), encoder=OTHER) == (
        NOT_DECIDED + claims.ELSEWHERE
    )
    assert claims.judged(relation, Finding("So it is."), encoder=AFRIBERTA) == NOT_MEASURED
    assert claims.judged(relation, Finding("Open.", verdict=NOT_DECIDED), encoder=AFRIBERTA) == NOT_DECIDED
    assert claims.judged(relation, Finding("Other.", verdict=NOT_COMPARABLE), encoder=AFRIBERTA) == NOT_COMPARABLE


@pytest.mark.parametrize(
    ("paper", "encoder", "own"),
    [
        ("1", "afriberta-base", True),
        ("1", "afriberta-large@main", True),
        ("1", "castorini/afriberta_large", True),
        ("1", "castorini/afriberta_large@refs/pr/1", True),
        ("1", ["afriberta-base", "afriberta-large"], True),
        ("1", "afriberta-small", False),  # the paper used base and large
        ("1", "afro-xlmr-base", False),
        ("1", ["afriberta-base", "mini-base"], False),
        ("1", "mini-e5", False),  # which is made from another one
        ("2", "mbert", True),
        ("2", "xlm-roberta-base", False),  # a folder of that name
        ("2", "FacebookAI/xlm-roberta-base", True),
        ("2", "afriberta-base", False),
        ("both", "afriberta-base", False),
    ],
)
def test_which_encoder_is_the_papers_own(paper, encoder, own):
    found = Finding("Measured.", quantity=comparison(0.6, 1.0))
    verdict = AGREES if own else AGREES + claims.ELSEWHERE
    assert claims.judged(claim("relation", "more", paper=paper), found, encoder=encoder) == verdict


def test_a_number_that_is_printed_of_one_encoder_is_judged_on_that_one_alone():
    known = claims.listed().set_index("id", drop=False)
    found = Finding("It takes away 92 %.", quantity=92.0)
    for name, encoder, other in (("D24", "xlm-r-base", "mbert"), ("D24b", "mbert", "xlm-r-base")):
        assert claims.judged(known.loc[name], found, encoder=encoder) == (AGREES if name == "D24" else DIFFERS)
        assert claims.judged(known.loc[name], found, encoder=other) == NOT_COMPARABLE + claims.ELSEWHERE
    packed = Finding("zlib leaves 75 %.", quantity=25.0)
    assert claims.judged(known.loc["D26"], packed, encoder=OTHER) == DIFFERS + claims.ELSEWHERE


AHEAD = Finding("It is ahead.", quantity=comparison(4.0, 6.0))
BEHIND = Finding("It is behind.", quantity=comparison(-6.0, -4.0))
UNSURE = Finding("It may be ahead.", quantity=comparison(-1.0, 3.0, p=0.2))
NO_PLAIN = missing("Models without an encoder")


@pytest.mark.parametrize("ahead", [BEHIND, UNSURE, NO_PLAIN, Finding("One seed.", quantity=ONE_SEED)])
def test_no_claim_on_compression_is_judged_where_the_dense_encoder_is_not_ahead(ahead):
    found = {"Q2": Finding("It keeps F1.", quantity=comparison(-0.4, 0.3)), "M1": missing("Random masks")}
    found |= {"D15": Finding("83 million.", quantity=83.2), "NC3": Finding("It is not brittle.")}
    rows = claims.of_page(found, encoder=AFRIBERTA, ahead=ahead).set_index("id")
    refused = NOT_COMPARABLE + claims.BEHIND
    assert rows["verdict"].to_dict() == {"Q2": refused, "M1": NOT_MEASURED, "D15": DIFFERS, "NC3": refused}
    other = claims.of_page(found, encoder=OTHER, ahead=ahead).set_index("id")["verdict"]
    assert other["Q2"] == NOT_COMPARABLE + claims.ELSEWHERE + claims.BEHIND and other["NC3"] == refused
    assert rows.loc["Q2", "measured"] == "It keeps F1."
    whole = claims.of_page(found, encoder=AFRIBERTA, ahead=AHEAD).set_index("id")["verdict"]
    assert whole["Q2"] == AGREES and whole["NC3"] == ANSWERED


def test_the_gate_leaves_one_finding_for_each_place_that_it_refuses():
    ner, topics, tags = (("mini-base", name) for name in ("masakhaner", "sib200", "masakhapos"))
    found = {
        (*place, size): Finding(f"It is {size}.", quantity=1.0) for place in (ner, topics, tags) for size in (1, 2)
    }
    told = claims.gated(found, {ner: AHEAD, topics: BEHIND, tags: NO_PLAIN})
    assert list(told) == [(*ner, 1), (*ner, 2), topics, tags] and told[*ner, 1] is found[*ner, 1]
    assert (told[topics].verdict, told[topics].quantity, told[tags].verdict) == (NOT_COMPARABLE, None, NOT_COMPARABLE)
    assert claims.refusal(BEHIND, "mini-base", "On sib200, ") == told[topics].headline and claims.refusal(AHEAD) == ""
    nothing = {ner: missing("Stages")}
    assert claims.gated(nothing, {ner: BEHIND}) == nothing


def test_a_lead_that_other_sentences_could_undo_opens_no_gate():
    """Seeds that lie close together showed a lead of 0.9 points on 80 sentences."""
    for drawn, opens in ((Interval(0.9, 0.0, 2.0, 80), False), (Interval(0.9, 0.2, 1.6, 800), True)):
        lead = replace(AHEAD, values={"behind": [], "over sentences": [Interval(3.0, 1.0, 5.0, 80), drawn]})
        assert claims.may_claim(lead) == opens and ("over sentences" in claims.refusal(lead)) != opens
    unrecorded = Interval(math.nan, math.nan, math.nan, 0, LACKING)
    assert claims.may_claim(replace(AHEAD, values={"over sentences": [unrecorded]})), "an old record says nothing of it"


def test_which_claims_are_about_what_compression_does_to_a_score():
    """All others are refused where the encoder is not ahead of a model without one."""
    free = {"D5", "D26", "D22", "D9", "Q10", "D11", "D12", "D13", "D14", "D3", "D15", "NC2", "D24", "D24b"}
    known = claims.listed()
    assert set(known.loc[known["gated"] != "yes", "id"]) == free and set(known["gated"]) == {"yes", ""}


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
    found = {"Q8": [more, less], "Q9, D9": less, "M1": missing("Random masks")}
    found = claims.of_page(found, encoder=OTHER, ahead=AHEAD)
    assert list(found) == claims.COLUMNS and found["id"].tolist() == ["Q8", "Q8", "Q9, D9", "M1"]
    elsewhere = [word + claims.ELSEWHERE for word in (AGREES, DIFFERS, DIFFERS)]
    assert found["verdict"].tolist() == [*elsewhere, NOT_MEASURED]
    assert found["measured"].tolist()[:2] == ["It is more.", "It is less."]
    known = claims.listed().set_index("id")
    assert found.loc[2, ["claim", "figure"]].tolist() == known.loc["Q9", ["claim", "figure"]].tolist()
    with pytest.raises(SmallerError, match="No claim has the id 'Q99'"):
        claims.of_page({"Q2, Q99": more}, encoder=OTHER, ahead=AHEAD)


def test_a_known_misprint_stands_beside_what_is_printed_and_where():
    known = claims.listed().set_index("id")
    (row,) = claims.of_page({"D8": missing("Students")}, encoder=OTHER, ahead=AHEAD).to_dict("records")
    assert row["printed"] == f"{known.loc['D8', 'printed']} ({known.loc['D8', 'misprint']})"
    assert row["printed in"] == known.loc["D8", "source"]
    assert set(known.index[known["source"] == ""]) == {"X1"}, "what neither paper prints"


def test_misprints_rest_on_the_papers_own_tables():
    """D6 to D8: the averages of the students, and of the model that they are held against."""
    misprint = claims.listed().set_index("id")["misprint"]
    students = published(table="P1-T1", language="average").set_index("row")["value"]
    whole = published(table="P1-T3", language="average", row="dense")["value"].item()
    base = published(table="NER 1.0 baselines", encoder="afriberta-base", language="average")["value"].item()
    for name, numbers in {
        "D6": [students["agnostic/base/6L6H"], base],
        "D7": [students["agnostic/large/6L6H"], whole],
        "D8": [students["agnostic/base/4L6H"], students["specific/base/4L4H"], whole],
    }.items():
        assert all(f"{number:.2f}" in misprint[name] for number in numbers), name
    lost = [100 * (1 - students[name] / whole) for name in ("agnostic/base/4L6H", "specific/base/4L4H")]
    assert "{:.1f} to {:.1f} %".format(*lost) in misprint["D8"]
    assert f"{100 * (1 - students['agnostic/base/6L6H'] / base):.1f} %" in misprint["D6"]


def test_the_legend_names_what_every_id_begins_with():
    starts = {re.match(r"P\d-[FT]|[A-Z]+(?=\d)", name)[0] for name in claims.listed()["id"] if name != "XtremeDistil"}
    assert all(re.search(rf"\b{start}\d?\b", claims.LEGEND) for start in starts)


def test_a_finding_of_one_of_several_encoders_is_judged_on_its_own():
    """A page of two teachers once had "not comparable" on the claims about each of them."""
    both = ["afriberta-base", "afriberta-large"]
    kept = Interval(-1.4, -1.6, -1.2, 3)
    rows = {"D6": Finding("It loses 1.4 %.", quantity=kept, values={"encoder": "afriberta-base"})}
    rows["D7"] = Finding("It loses 1.4 %.", quantity=kept, values={"encoder": "mini-base"})
    found = claims.of_page(rows, encoder=both, ahead=AHEAD).set_index("id")["verdict"]
    assert found["D6"] == AGREES and found["D7"] == NOT_COMPARABLE + claims.ELSEWHERE


@pytest.mark.parametrize("path", NOTEBOOKS.values(), ids=NOTEBOOKS)
def test_the_legend_stands_at_the_top_of_each_notebook_that_uses_ids(path):
    first, *cells = (cell.source for cell in nbformat.read(path, as_version=4).cells)
    uses = any(claims.ID.search(source) or "claims.gathered" in source for source in cells)
    assert (claims.LEGEND in " ".join(first.split())) == uses


def test_the_summary_has_every_claim_once_or_more(fresh_folders):
    folder = paths.outputs_folder() / "tables"
    folder.mkdir(parents=True)
    assert set(claims.gathered([])["verdict"]) == {NOT_MEASURED}, "no page was run"
    one, other = (Finding(f"It is {number} %.", quantity=comparison(-1.0, -0.6)) for number in (60, 70))
    for name, found in {"one": {"Q9, D9": one}, "two": {"Q2": [one, other]}}.items():
        rows = claims.of_page(found, encoder=AFRIBERTA, ahead=AHEAD)
        rows.to_csv(folder / f"verdicts-{name}.csv", index=False)
    found = claims.gathered(["02_pruning", "04_quantization"])
    assert list(found) == [*claims.COLUMNS, "page"]
    named = [name for row in found["id"] for name in row.split(", ")]
    assert set(named) == set(claims.listed()["id"])
    assert found.loc[found["id"] == "Q2", "measured"].tolist() == ["It is 60 %.", "It is 70 %."]
    by_id = found.reset_index().drop_duplicates("id").set_index("id")
    figure = claims.listed().set_index("id").loc["Q9", "figure"]
    assert by_id.loc["Q9, D9", ["page", "figure", "verdict"]].tolist() == ["04_quantization", figure, DIFFERS]
    links = found.attrs["links"]
    assert links[by_id.loc["Q9, D9", "index"], "figure"] == f"04_quantization.ipynb#{figure}"
    assert by_id.loc["D26", ["measured", "verdict"]].tolist() == [NOT_MEASURED, NOT_MEASURED]
    assert by_id.loc["Q1", "measured"] == "not measured: 03_distillation was not run"
    assert (by_id.loc["Q1", "index"], "figure") not in links
    places = {name: place for place, name in enumerate(claims.listed()["id"])}
    order = [places[row.split(", ")[0]] for row in found["id"]]
    assert order == sorted(order)
