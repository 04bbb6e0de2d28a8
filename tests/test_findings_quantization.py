"""Answers on quantization, from tables whose answers are done by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from smaller.errors import SmallerError
from smaller.findings import quantization, quantization_claims, rounding, sizes
from smaller.findings.cells import give_or_take, in_points, one_or_span, share
from smaller.statistics import Interval

SEEDS = (1, 2, 3)
CHANGES = {"fp32": 0.0, "fp16": 0.1, "dynamic": -2.0, "llm.int8": -0.1}


def row(form, language="swa", seed=1, **values):
    given = {
        "identity": f"{form}-{language}-{seed}", "label": form, "encoder": "mini", "dataset": "masakhaner",
        "language": language, "seed": seed, "split": "test", "form": form, "bits": math.nan, "part": "",
        "sparsity": 0.0, "f1": 80.0, "loss": 0.2, "compressed_bytes": 1e6,
    }  # fmt: skip
    return given | values


def table(languages=("swa", "yor"), *, changes=CHANGES, seeds=SEEDS, spread=0.0):
    """F1 of 80 in the first language, 70 in the second, plus the seed; forms change it by the same for all seeds.

    `spread` is added to a form's change for the third seed and taken from it for the first.
    """
    return pd.DataFrame([
        row(form, language, seed, f1=80 - 10 * place + seed + change + spread * (seed - 2) * (form != "fp32"),
            loss=0.2 - change / 10)
        for form, change in changes.items() for place, language in enumerate(languages) for seed in seeds
    ])  # fmt: skip


def timings(languages=("swa", "yor"), *, floor=0.1, **milliseconds):
    given = {"fp32": 10.0, "fp16": 10.5, "dynamic": 5.0, "llm.int8": 4.0} | milliseconds
    return pd.DataFrame([
        {"form": form, "language": language, "batch": batch, "threads": 1, "milliseconds": (1 + place) * time / batch,
         "milliseconds_low": time, "milliseconds_high": time, "noise_floor": floor, "sentences_per_second": 1000 / time,
         "seconds_per_split": 0.6 * time, "device": "a processor"}
        for form, time in given.items() for place, language in enumerate(languages) for batch in (1, 8)
    ])  # fmt: skip


PARTS = pd.DataFrame([
    {"form": form, "part": part, "bytes": size}
    for form, per_part in {"fp32": (400, 400, 8), "fp16": (200, 200, 4), "dynamic": (400, 100, 8),
                           "llm.int8": (200, 100, 4)}.items()
    for part, size in zip(("embeddings", "linear", "rest"), per_part, strict=True)
])  # fmt: skip


def test_average_comes_first_and_needs_every_language():
    rows = table()
    wide = quantization.by_seed(rows[~((rows["language"] == "yor") & (rows["seed"] == 2) & (rows["form"] == "fp16"))])
    assert list(wide) == ["fp32", "fp16", "dynamic", "llm.int8"]
    assert list(wide.index.get_level_values("language").unique()) == ["average", "swa", "yor"]
    assert wide.loc[("average", 1)].tolist() == pytest.approx([76, 76.1, 74, 75.9])
    assert math.isnan(wide.loc[("average", 2), "fp16"]) and wide.loc[("swa", 2), "fp16"] == pytest.approx(82.1)
    only = quantization.by_seed(table(("swa",)))
    assert list(only.index.get_level_values("language").unique()) == ["swa"]


def test_what_a_form_cannot_be_compared_with_is_said():
    rows = table()
    others = pd.DataFrame(
        [row("fp32", bits=4, part="all", f1=0), row("fp32", sparsity=0.5, f1=0), row("trained", f1=0)]
    )
    pd.testing.assert_frame_equal(quantization.by_seed(pd.concat([rows, others])), quantization.by_seed(rows))
    with pytest.raises(SmallerError, match="no run in the form fp32.*add it"):
        quantization.by_seed(rows[rows["form"] != "fp32"])
    with pytest.raises(SmallerError, match="two recipes of one form, language and seed, such as dynamic, threshold 3"):
        quantization.by_seed(pd.concat([rows, pd.DataFrame([row("dynamic", label="dynamic, threshold 3")])]))
    with pytest.raises(SmallerError, match="mix encoder"):
        quantization.by_seed(pd.concat([rows, rows.assign(encoder="other")]))


def test_scores_have_intervals_and_the_best_of_a_row_is_marked():
    found = quantization.scores(table(("swa",))).iloc[0]
    # Seeds at 81, 82 and 83: a standard deviation of 1, and t(0.975, 2) = 4.303, so half the interval is 2.48.
    assert found["fp32"] == "82.0 ± 2.5" and found["fp16"] == "**82.1 ± 2.5**" and found["n"] == "3"
    loss = quantization.scores(table(("swa",)), of="loss", decimals=2).iloc[0]
    assert loss["fp16"] == "**0.19 ± 0.00**" and loss["dynamic"] == "0.40 ± 0.00"
    even = quantization.scores(table(("swa",), changes={"fp32": 0.0, "onnx": 0.001}, seeds=(1,))).iloc[0]
    assert (even["fp32"], even["onnx"], even["n"]) == ("**81.0**", "**81.0**", "1")


def test_differences_are_paired_by_seed():
    found = quantization.differences(table(spread=0.3)).set_index("language")
    # The pairs differ by -2.3, -2.0 and -1.7: half the interval is 4.303 * 0.3 / sqrt(3).
    assert found.loc["Average", "dynamic"] == found.loc["Yoruba", "dynamic"] == "-2.00 ± 0.75"
    assert "fp32" not in found and set(found["n"]) == {"3"}
    missing = table(("swa",)).drop(index=0)
    assert quantization.differences(missing)["n"].tolist() == ["2"]


@pytest.mark.parametrize(
    ("changes", "word"),
    [((-0.2, -0.1, 0.0), "kept"), ((0.9, 1.0, 1.1), "kept"), ((-2.1, -2.0, -1.9), "lost"), ((-3.0, 0.0, 3.0), "open"),
     ((-1.0, math.nan, math.nan), "open")],
)  # fmt: skip
def test_f1_is_kept_lost_or_not_decided(changes, word):
    rows = table(("swa",), changes={"fp32": 0.0, "onnx": 0.0})
    rows.loc[rows["form"] == "onnx", "f1"] += list(changes)
    assert quantization.kept(rows) == {"onnx": word}


def test_times_stand_by_language_with_the_noise_floor():
    found = quantization.times(timings()).set_index("language")
    assert list(found) == ["fp32", "fp16", "dynamic", "llm.int8", "noise floor (%)"]
    assert found["fp32"].tolist() == [15, 10, 20] and found.index.tolist() == ["Average", "Swahili", "Yoruba"]
    assert found.loc["Average", "noise floor (%)"] == pytest.approx(10)
    ratios = quantization.time_ratios(timings())
    assert ratios["ratio"].to_dict() == pytest.approx({"fp16": 1.05, "dynamic": 0.5, "llm.int8": 0.4})
    assert ratios.loc["fp16", ["faster", "slower", "languages"]].tolist() == [0, 0, 2]
    assert ratios.loc["dynamic", ["faster", "slower"]].tolist() == [2, 0]
    slow = quantization.time_ratios(timings(fp16=30.0))
    assert slow.loc["fp16", "slower"] == 2


def test_times_of_two_devices_are_never_in_one_column():
    with pytest.raises(SmallerError, match="mix device a GPU, a processor"):
        quantization.times(pd.concat([timings(), timings().assign(device="a GPU")]))
    with pytest.raises(SmallerError, match="No time was measured at batch 4 on 1 thread"):
        quantization.times(timings(), batch=4)


def test_summary_and_winners():
    rows, settings = table(), timings()
    text = quantization.summary(rows, PARTS, settings)
    assert "LLM.int8() saves 62.4 % of fp32's bytes (24.8 % fewer than fp16), takes 0.40 times its time" in text
    assert "Dynamic quantization saves 37.1 % of fp32's bytes (25.7 % more than fp16)" in text
    assert "The cast to fp16 saves 50.0 % of fp32's bytes, takes 1.05 times" in text and "a processor" in text
    assert "ONNX" not in text
    answer = quantization.winners(rows, PARTS, settings)
    assert "F1 is kept by fp16, llm.int8" in answer and "lost by dynamic" in answer
    assert "The smallest that keeps it is llm.int8, 62.4 % below fp32. The fastest is llm.int8, at 0.40" in answer
    one = quantization.winners(table(seeds=(1,)), PARTS, settings)
    assert "kept by no form" in one and "does not decide for fp16, dynamic, llm.int8" in one


def test_llm_int8_is_held_against_dynamic_quantization():
    text, everywhere = quantization.int8_against_dynamic(table(), timings())
    assert everywhere and "F1 in 2 of 2, loss in 2 of 2, time in 2 of 2 languages" in text and "+1.90 points" in text
    close = timings(**{"llm.int8": 4.8})
    text, everywhere = quantization.int8_against_dynamic(table(), close)
    assert not everywhere and "time in 0 of 2" in text, "4.8 against 5 ms lies inside a noise floor of 10 %"
    without = table(changes={"fp32": 0.0, "dynamic": 0.0})
    assert quantization.int8_against_dynamic(without, timings())[1] is None


def test_every_setting_has_a_row_for_each_form():
    settings = timings().assign(memory_bytes=2e6)
    found = quantization.all_settings(settings)
    assert len(found) == 8 and found["form"].tolist()[:4] == ["fp32", "fp16", "dynamic", "llm.int8"]
    first = found.iloc[2]
    assert (first["threads"], first["batch"], first["ms"], first["of fp32"]) == (1, 1, 7.5, 0.5)
    assert first["rounds"] == "5.00 to 5.00" and first["noise floor (%)"] == pytest.approx(10)
    assert quantization.faster(settings).endswith("10.0 %, faster than fp32 in every language: dynamic, llm.int8.")
    same = timings(dynamic=10.0, **{"llm.int8": 10.0})
    assert quantization.faster(same).endswith("none is faster or slower throughout.")


def test_quantization_after_pruning_is_held_against_the_sum_of_both():
    rows = table(changes={"fp32": 0.0, "dynamic": -2.0})
    pruned = table(changes={"fp32": -5.0, "dynamic": -10.0}).assign(sparsity=0.5, compressed_bytes=4e5)
    found = quantization.after_pruning(pd.concat([rows, pruned])).iloc[0]
    assert found[["form", "quantized", "pruned", "both", "both − sum", "n"]].tolist() == [
        "dynamic", "-2.00 ± 0.00", "-5.00 ± 0.00", "-10.00 ± 0.00", "-3.00 ± 0.00", "6",
    ]  # fmt: skip
    assert found["both (MB)"] == pytest.approx(0.4) and found["sparsity (%)"] == 50
    assert quantization.after_pruning(rows).empty


def test_size_of_the_papers_encoder_follows_from_its_shape():
    found = sizes.exact("afriberta-large")
    total = found.groupby("form")["bytes"].sum()
    matrices, outputs = 10 * (4 * 768**2 + 2 * 768 * 3072), 10 * (5 * 768 + 3072)
    assert total["fp32"] == total["onnx"] == 4 * 125_047_305 and total["fp16"] == 2 * 125_047_305
    assert total["llm.int8"] == 2 * (125_047_305 - matrices) + matrices + 4 * outputs
    assert total["dynamic"] == 4 * 125_047_305 - 3 * (matrices + 9 * 768)
    assert 100 * sizes.saved(found, "llm.int8") == pytest.approx(64.08, abs=0.05)
    text = sizes.explained(found, encoder="AfriBERTa-large")
    assert "500.2 MB in fp32, 250.1 in fp16 and 179.6 with LLM.int8() (printed: 504 and 181.4)" in text
    assert "saves 50.0 %, int8 for the Linear weights 14.1 points more: 64.1 % in all" in text


@pytest.mark.parametrize("form", ["fp32", "fp16", "bf16", "dynamic", "llm.int8"])
def test_size_from_the_shape_is_that_of_a_converted_network(tiny, form):
    from smaller import encoders, forms

    model = encoders.with_classifier(tiny, ["O", "B-PER", "I-PER"], seed=1)
    shape = encoders.Encoder("tiny", layers=2, heads=2, hidden=24, feed_forward=48, vocabulary=len(tiny.tokenizer))
    computed = sizes.exact(shape, labels=3)
    computed = computed[computed["form"] == form].set_index("part")["bytes"]
    measured = pd.Series(forms.bytes_by_part(forms.convert(model, form).network))
    scales = 16 * 13 if form == "dynamic" else 0  # scale and zero point of each Linear layer
    assert (measured - computed).to_dict() == {"embeddings": 0, "linear": scales, "rest": 0}


def test_sizes_by_form_add_up():
    found = sizes.by_form(PARTS.assign(bytes=PARTS["bytes"] * 1e6), disk={"fp32": 9e8, "fp16": 5e8}).set_index("size")
    assert list(found) == ["fp32", "fp16", "dynamic", "llm.int8"]
    assert found.loc["in memory (MB)"].tolist() == [808, 404, 508, 304]
    assert found.loc["smaller than fp32 (%)", "fp16"] == pytest.approx(50)
    assert found.loc["smaller than fp16 (%)", "llm.int8"] == pytest.approx(100 * (1 - 304 / 404))
    assert found.loc["on disk (MB)", "fp16"] == 500 and math.isnan(found.loc["on disk (MB)", "dynamic"])
    assert math.isnan(sizes.saved(PARTS, "onnx"))


def test_sizes_are_read_from_the_first_record_of_each_form(monkeypatch):
    step = {"step": "Quantize", "form": "fp16", "report": {"bytes_after": {"embeddings": 5, "linear": 6, "rest": 7}}}
    records = {"a": {"steps": [{"step": "FineTune", "report": {}}, step]}, "b": {"steps": [step]}, "c": None}
    monkeypatch.setattr(sizes, "read", records.get)
    found = sizes.measured(["c", "a", "b"])
    assert found.to_dict("list") == {"form": ["fp16"] * 3, "part": ["embeddings", "linear", "rest"], "bytes": [5, 6, 7]}


def roundings():
    lost = {("all", 8): 0.0, ("all", 4): -4.0, ("all", 3): -20.0, ("embeddings", 8): 0.1, ("embeddings", 3): -1.0,
            ("classifier", 3): -0.5}  # fmt: skip
    rows = [
        row("fp32", language, seed, bits=bits, part=part, f1=80 + change)
        for (part, bits), change in lost.items()
        for language in ("swa", "yor")
        for seed in (1, 2)
    ]
    base = [row("fp32", language, seed) for language in ("swa", "yor") for seed in (1, 2)]
    return pd.DataFrame(rows + base)


def test_rounding_is_paired_with_fp32_by_language_and_seed():
    found = rounding.rounded(roundings())
    lines = found.set_index(["part", "bits"])
    assert lines.loc[("all", 4), ["mean", "n"]].tolist() == [-4, 4] and len(lines) == 6
    assert rounding.bits_for(found, 11) == pytest.approx(4 - 7 / 16)
    assert rounding.bits_for(found, 4) == pytest.approx(4) and math.isnan(rounding.bits_for(found, 30))
    shown = rounding.by_bits(found).set_index("part")
    assert list(shown) == ["8 bits", "4 bits", "3 bits", "n"] and list(shown.index) == [
        "all weights", "embeddings", "classifier",
    ]  # fmt: skip
    assert shown.loc["all weights", "3 bits"] == "-20.0 ± 0.0" and shown["n"].tolist() == ["4"] * 3
    text = rounding.where_it_hurts(found)
    assert "At 8 bits the largest change of F1 is +0.00 points [0.00, 0.00], n = 4 (all weights)" in text
    assert "At 3 bits, one part at a time, in points: embeddings -1.0, classifier -0.5." in text


def test_outliers_come_from_the_records_that_looked_at_sentences(monkeypatch):
    class Named(str):
        identity = property(str)

    recipes = [Named("a"), Named("b"), Named("c"), Named("d")]
    report = {"columns": 0.2, "values": 0.01, "largest": 9.0, "sentences": 3}
    records = {
        "a": {"steps": [{"threshold": 3.0, "report": {"outliers": report}}]},
        "b": {"steps": [{"threshold": 3.0, "report": {"outliers": report | {"columns": 0.4, "largest": 12.0}}}]},
        "c": {"steps": [{"threshold": 6.0, "report": {"outliers": None}}]},
    }
    monkeypatch.setattr(rounding, "read", records.get)
    rows = [row("fp32"), row("fp32", seed=2)]
    rows += [row("llm.int8", seed=seed, identity=name, f1=79.0) for name, seed in (("a", 1), ("b", 2), ("c", 1))]
    found = rounding.thresholds(recipes, pd.DataFrame(rows))
    assert found.to_dict("records") == [
        {"threshold": 3.0, "outlier columns (%)": pytest.approx(30), "outlier values (%)": pytest.approx(1),
         "largest magnitude": 12.0, "F1 against fp32": "-1.00 ± 0.00", "n": 2}
    ]  # fmt: skip
    assert "of 6 were not measured" in rounding.decomposition(found)
    assert "30.00 % of the feature columns hold an outlier and are multiplied in fp16" in rounding.decomposition(
        found, threshold=3.0
    )
    none = found.assign(threshold=6.0, **{"outlier columns (%)": 0.0})
    assert "nothing is multiplied in fp16: LLM.int8() is plain int8 here" in rounding.decomposition(none)


def test_printed_times_are_of_whole_splits():
    found = quantization_claims.unit_of_time().set_index("column").round(2)
    assert found["correlation with sentences"].to_dict() == {"dense": 0.68, "dynamic": 0.94, "llm.int8": 0.96}
    assert found.loc["llm.int8"].round(1).tolist()[1:] == [23.6, 29.4]
    assert found.loc["dynamic"].round(1).tolist()[1:] == [25.6, 38.9]


def test_the_printed_loss_is_reproduced_or_not():
    rounded = rounding.rounded(roundings())
    text = quantization_claims.dynamic_loss(table(), rounded)
    assert text.startswith("Not reproduced. The paper prints a change of F1 by -10.97 points on average")
    assert "here it is -2.00 points [-2.00, -2.00], n = 3" in text
    assert "from -3.3 in Swahili to -27.6 in Dholuo" in text.replace("Luo", "Dholuo")
    assert "a loss of 11.0 is reached only at 3.6 bits" in text
    lost = table(changes={"fp32": 0.0, "dynamic": -11.0}, spread=0.3)
    assert quantization_claims.dynamic_loss(lost, rounded).startswith("Reproduced.")
    one = quantization_claims.dynamic_loss(table(seeds=(1,)), rounded.iloc[:0])
    assert one.startswith("Not decided.") and "bits" not in one


def test_ours_stand_beside_the_printed_numbers():
    found = quantization_claims.beside_published(table()).set_index("language")
    assert found.loc["Swahili"].tolist() == pytest.approx([82, 87.89, -2, 84.58 - 87.89, -0.1, 0.04])
    assert found.index.tolist() == ["Average", "Swahili", "Yoruba"]


def test_every_claim_has_a_verdict():
    exact = sizes.exact("afriberta-large")
    found = quantization_claims.claims(table(spread=0.03), PARTS, exact, timings())
    found = found.set_index(
        found["id"].where(found["id"] != "Q10", "Q10: " + found["claim"].str.extract(r"(64|52)")[0])
    )
    verdicts = found["verdict"]
    assert verdicts["Q3"] == "agrees on F1" and verdicts["Q10: 64"] == "agrees" and verdicts["Q9, D9"] == "agrees"
    assert verdicts["D13"] == verdicts["P1-T3"] == "differs" and verdicts["D12"] == "differs: seconds for a split"
    assert verdicts["Q10: 52"].startswith("not comparable") and verdicts["D14"] == "not comparable"
    assert verdicts["D10"] == "differs: within the noise" and verdicts["D11"].startswith("differs")
    assert "LLM.int8() in 0 of 2 languages, in 0 with the whole interval" in found.loc["D10", "measured"]
    assert "F1 in 10 of 10, time in 9 of 10 (not Amharic)" in found.loc["Q9, D9", "printed"]
    assert "-0.048 points, 0.06 %" in found.loc["D11", "printed"]
    assert "52.3 % (dynamic: 40.9 %)" in found.loc["Q10: 52", "printed"]
    assert "0.40 times fp32's time (dynamic: 0.50 times fp32's time)" in found.loc["Q10: 52", "measured"]
    assert "3 languages, by 0.05 points" in found.loc["D10", "printed"]


def test_noise_of_rounding_matters_where_bits_are_few():
    exact = sizes.exact("afriberta-large")
    found = quantization_claims.claims(table(), PARTS, exact, timings(), rounding.rounded(roundings())).set_index("id")
    assert found.loc["M3", "verdict"].startswith("agrees at 8 bits, and breaks at ")
    assert found.loc["M3", "measured"].startswith("At 8 bits the largest change of F1 is")
    coarse = rounding.rounded(roundings()).assign(mean=-5.0)
    worse = quantization_claims.claims(table(), PARTS, exact, timings(), coarse).set_index("id")
    assert worse.loc["M3", "verdict"] == "differs"


def test_claims_say_what_was_not_measured():
    rows, settings = table(changes={"fp32": 0.0, "fp16": 0.1}), timings()
    settings = settings[settings["form"].isin(["fp32", "fp16"])]
    found = quantization_claims.claims(rows, PARTS, sizes.exact("afriberta-large"), settings)
    found = found.set_index(
        found["id"].where(found["id"] != "Q10", "Q10: " + found["claim"].str.extract(r"(64|52)")[0])
    )
    assert found.loc[["Q9, D9", "D10"], "verdict"].tolist() == ["not measured"] * 2
    assert found.loc["Q3", "verdict"] == "not measured; but fp16 saves more"
    assert found.loc["P1-T3", "verdict"] == "not comparable" and "not measured" in found.loc["D12", "measured"]
    assert "not measured" in found.loc["Q10: 52", "measured"]


def test_cells():
    assert give_or_take(Interval(1.234, 1.0, 1.468, 3), 2) == "1.23 ± 0.23"
    assert give_or_take(Interval(1.234, np.nan, np.nan, 1), 1, sign="+") == "+1.2"
    assert give_or_take(Interval(-0.0001, -0.0002, 0.0, 3), 2, sign="+") == "+0.00 ± 0.00"
    assert in_points(Interval(-0.123, -0.456, 0.21, 3)) == "-0.12 points [-0.46, 0.21], n = 3"
    assert in_points(Interval(1, np.nan, np.nan, 1)) == "+1.00 points (no interval), n = 1"
    assert give_or_take(Interval(np.nan, np.nan, np.nan, 0), 1) == "–"
    assert (one_or_span([3, 3]), one_or_span([3, 2]), one_or_span([])) == ("3", "2 to 3", "")
    assert share(0.1234) == "12.3 %" and share(math.nan) == "not measured"
