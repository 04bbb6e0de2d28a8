import pytest

from smaller.base.errors import SmallerError
from smaller.data.published import published

LANGUAGES = ["amh", "hau", "ibo", "kin", "lug", "luo", "pcm", "swa", "wol", "yor"]


def by_row(**filters):
    return published(metric="f1", **filters).pivot(index="row", columns="language", values="value")


def test_the_distillation_table_is_whole_and_its_averages_recompute():
    table = by_row(table="P1-T1")
    assert table.shape == (16, 11) and not table.isna().any(axis=None)
    recomputed = table[LANGUAGES].mean(axis=1)
    assert (recomputed - table["average"]).abs().max() < 0.00501


def test_the_duplicate_row_is_the_only_one_and_is_flagged():
    table = by_row(table="P1-T1")
    twins = table[table.duplicated(keep=False)].index.tolist()
    assert twins == ["agnostic/large/6L4H", "specific/large/6L4H"]
    flagged = published(table="P1-T1", metric="f1").query("note.str.contains('copy')")["row"].unique().tolist()
    assert flagged == twins


@pytest.mark.parametrize("name", ["P1-T2", "P1-T3"])
def test_quantization_averages_recompute(name):
    table = published(table=name).pivot(index="row", columns="language", values="value")
    assert table[LANGUAGES].mean(axis=1).to_numpy() == pytest.approx(table["average"].to_numpy(), abs=6e-4)


def test_the_time_claim_is_the_ratio_of_the_column_means():
    means = published(table="P1-T2", language="average").set_index("row")["value"]
    claim = published(row="quantization: time reduction")["value"].item()
    assert 100 * (1 - means["llm.int8"] / means["dense"]) == pytest.approx(claim, abs=0.05)


def test_baseline_averages_recompute_but_for_the_known_misprint():
    table = by_row(table="NER 1.0 baselines", row=["mBERT", "XLM-R base", "AfriBERTa small", "AfriBERTa large"])
    assert (table[LANGUAGES].mean(axis=1) - table["average"]).abs().max() < 0.00501
    base = by_row(row="AfriBERTa base").loc["AfriBERTa base"]
    assert round(base[LANGUAGES].mean(), 2) == 78.58 and base["average"] == 78.60
    single = by_row(table="NER 1.0 baselines", row=["mBERT, single run", "XLM-R, single run", "AfroXLMR base"])
    assert (single[LANGUAGES].mean(axis=1) - single["average"]).abs().max() < 0.11


def test_every_number_is_a_number_with_its_place():
    table = published()
    assert len(table) > 450 and table["value"].notna().all()
    assert (table[["paper", "table", "row", "metric", "unit"]] != "").all(axis=None)
    assert not table.duplicated(["paper", "table", "row", "encoder", "language", "metric"]).any()
    assert len(published(table="NER 2.0 baselines")) == 19


def test_filters_take_lists_and_refuse_what_does_not_occur():
    assert len(published(table="P1-T3", row="dense", language=["swa", "yor"])) == 2
    with pytest.raises(SmallerError, match="Did you mean 'language'"):
        published(langage="swa")
    with pytest.raises(SmallerError, match="Did you mean 'afriberta-large'"):
        published(encoder="afriberta-lrage")


def test_a_caller_cannot_change_the_numbers():
    table = published()
    table["value"] = 0.0
    assert published()["value"].max() > 0
