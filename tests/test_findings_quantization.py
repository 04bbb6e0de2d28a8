"""Answers on quantization, from tables whose answers are done by hand."""

import math

import pandas as pd
import pytest

from smaller import formats
from smaller.analysis.comparison import AGREES, DIFFERS, NOT_COMPARABLE, NOT_DECIDED, NOT_MEASURED, Comparison, between
from smaller.analysis.findings import claims, quantization, quantization_claims
from smaller.analysis.findings.finding import ANSWERED, Finding
from smaller.analysis.findings.units import TIME
from smaller.analysis.statistics import LACKING, Interval
from smaller.base.errors import SmallerError
from smaller.data.published import published
from smaller.study import timing
from smaller.study.recipes import Recipe, dense
from smaller.study.steps import FineTune, Quantize

WHOLE = "end_to_end_milliseconds"
SEEDS = (1, 2, 3)
UNEVEN = 2**-24
"""Points by which seeds are uneven, since differences that are the same at each seed have no interval."""

CHANGES = {"fp32": 0.0, "fp16": 0.1, "dynamic": -2.0, "llm.int8": -0.1}


def row(form, language="swa", seed=1, **values):
    given = {
        "identity": f"{form}-{language}-{seed}",
        "label": form,
        "encoder": "mini",
        "dataset": "masakhaner",
        "noise": "",
        "language": language,
        "seed": seed,
        "split": "test",
        "form": form,
        "bits": math.nan,
        "part": "",
        "sparsity": 0.0,
        "f1": 80.0,
        "loss": 0.2,
        "compressed_bytes": 1e6,
    }
    return given | values


def table(languages=("swa", "yor"), *, changes=CHANGES, seeds=SEEDS, spread=UNEVEN):
    """F1 of 80 in the first language, 70 in the second, plus the seed, on test and dev; formats change it alike.

    `spread` is added to a change for the third seed and taken from it for the first, twice as much for LLM.int8().
    """
    noise = {form: spread * ((form != "fp32") + (form == "llm.int8")) for form in changes}
    return pd.DataFrame(
        [
            row(
                form,
                language,
                seed,
                f1=80 - 10 * place + seed + change + noise[form] * (seed - 2),
                loss=0.2 - (change + noise[form] * (seed - 2)) / 10,
                split=split,
            )
            for split in ("test", "dev")
            for form, change in changes.items()
            for place, language in enumerate(languages)
            for seed in seeds
        ]
    )


def timings(languages=("swa", "yor"), *, floor=0.1, **milliseconds):
    given = {"fp32": 10.0, "fp16": 10.5, "dynamic": 5.0, "llm.int8": 4.0} | milliseconds
    return pd.DataFrame(
        [
            {
                "form": form,
                "language": language,
                "batch": batch,
                "threads": 1,
                "milliseconds": (1 + place) * time / batch,
                "milliseconds_low": time,
                "milliseconds_high": time,
                "noise_floor": floor,
                "sentences_per_second": 1000 / time,
                "seconds_per_split": 0.6 * time,
                "device": "a processor",
            }
            for form, time in given.items()
            for place, language in enumerate(languages)
            for batch in (1, 8)
        ]
    )


PARTS = pd.DataFrame(
    [
        {"form": form, "part": part, "bytes": size}
        for form, per_part in {
            "fp32": (400, 400, 8),
            "fp16": (200, 200, 4),
            "dynamic": (400, 100, 8),
            "llm.int8": (200, 100, 4),
        }.items()
        for part, size in zip(("embeddings", "linear", "rest"), per_part, strict=True)
    ]
)


def test_the_average_comes_first_and_a_seed_without_every_language_is_no_pair():
    rows = table(spread=0.3)
    rows = rows[~((rows["language"] == "yor") & (rows["seed"] == 2) & (rows["form"] == "fp16"))]
    found = quantization.differences(rows).set_index("language")
    assert found.index.tolist() == ["Average", "Swahili", "Yoruba"] and list(found) == ["fp16", "dynamic", "llm.int8"]
    assert [found.loc[name, "fp16"].n for name in found.index] == [2, 3, 2]
    assert quantization.differences(table(("swa",)))["language"].tolist() == ["Swahili"]


def test_what_a_format_cannot_be_compared_with_is_said():
    rows = table()
    others = pd.DataFrame([row("fp32", bits=4, part="all"), row("fp32", sparsity=0.5), row("trained")])
    pd.testing.assert_frame_equal(quantization.plain(pd.concat([rows, others])), quantization.plain(rows))
    with pytest.raises(SmallerError, match="no run in the format fp32.*add it"):
        quantization.plain(rows[rows["form"] != "fp32"])
    with pytest.raises(SmallerError, match="Two recipes have one format.*such as dynamic, threshold 3"):
        quantization.plain(pd.concat([rows, pd.DataFrame([row("dynamic", label="dynamic, threshold 3")])]))
    with pytest.raises(SmallerError, match="mix encoder"):
        quantization.plain(pd.concat([rows, rows.assign(encoder="other")]))


def test_scores_are_intervals_and_the_best_of_a_row_is_marked_beside_them():
    found = quantization.scores(table(("swa",)))
    # Seeds at 81, 82 and 83: a standard deviation of 1, and t(0.975, 2) = 4.303, so half the interval is 2.48.
    fp32 = found.loc[0, "fp32"]
    assert (fp32.mean, fp32.high - fp32.mean, fp32.n) == pytest.approx((82, 2.484, 3), abs=1e-3)
    assert found.attrs["bold"] == {(0, "fp16")}
    loss = quantization.scores(table(), of="loss", decimals=2)
    assert loss.attrs["bold"] == {(place, "fp16") for place in range(3)}
    assert loss.loc[0, "dynamic"].mean == pytest.approx(0.4)
    changes = {"fp32": 0.0, "onnx": 0.001}
    even = quantization.scores(table(("swa",), changes=changes | {"dynamic": -2.0}, seeds=(1,)))
    assert even.attrs["bold"] == {(0, "fp32"), (0, "onnx")} and not even.loc[0, "onnx"].known
    assert not quantization.scores(table(("swa",), changes=changes)).attrs["bold"], "a row of equals has no best"


def test_differences_are_paired_by_seed_and_averaged_over_languages_first():
    rows = table(spread=0.3)
    # The pairs differ by -2.3, -2.0 and -1.7: half the interval is 4.303 * 0.3 / sqrt(3), with n = 3 seeds, not 6.
    average = quantization.against_fp32(rows).loc["dynamic", "comparison"]
    assert (average.interval.mean, average.interval.n, average.languages) == (pytest.approx(-2), 3, ("swa", "yor"))
    assert average.interval.high - average.interval.mean == pytest.approx(0.745, abs=1e-3)
    shown = quantization.differences(rows).set_index("language")
    assert shown.loc["Average", "dynamic"] == average.interval and "fp32" not in shown
    # Verdicts are those of the overview, and of the claim on each language: here they were corrected otherwise.
    for of in ("f1", "loss"):
        assert not hasattr(quantization.differences(rows, of=of).loc[0, "dynamic"], "verdict")


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ((-0.2, -0.1, 0.0), AGREES),
        ((0.9, 1.0, 1.1), DIFFERS),
        ((-2.1, -2.0, -1.9), DIFFERS),
        ((-3.0, 0.0, 3.0), NOT_DECIDED),
        ((-1.0, math.nan, math.nan), NOT_DECIDED),
    ],
)
def test_f1_is_kept_where_the_whole_interval_lies_within_the_margin(change, verdict):
    rows = table(("swa",), changes={"fp32": 0.0, "onnx": 0.0})
    rows.loc[(rows["form"] == "onnx") & (rows["split"] == "test"), "f1"] += list(change)
    found = quantization.keeps(rows)
    assert quantization.against_fp32(rows).loc["onnx", "verdict"] == verdict
    assert found.values["kept"] == (["onnx"] if verdict == AGREES else [])
    assert found.verdict == (NOT_DECIDED if verdict == NOT_DECIDED else ANSWERED)


def test_times_stand_by_language_with_the_noise_floor():
    found = quantization.times(timings()).set_index(["time", "language"])
    assert list(found) == ["fp32", "fp16", "dynamic", "llm.int8", "noise floor (%)"]
    assert found.index.unique("time").tolist() == ["network (ms)", "whole split (s)"]
    network = found.loc["network (ms)"]
    assert network["fp32"].tolist() == [15, 10, 20] and network.index.tolist() == ["Average", "Swahili", "Yoruba"]
    assert network.loc["Average", "noise floor (%)"] == pytest.approx(10)
    assert found.loc["whole split (s)", "fp32"].tolist() == [6, 6, 6]
    ratio, shorter, _ = quantization.time_ratios(timings())
    assert ratio.mean().to_dict() == pytest.approx({"fp32": 1.0, "fp16": 1.05, "dynamic": 0.5, "llm.int8": 0.4})
    assert shorter["fp16"].tolist() == [0] * 2 and shorter["dynamic"].tolist() == [1] * 2
    assert quantization.time_ratios(timings(fp16=30.0))[1]["fp16"].tolist() == [-1] * 2


def test_times_from_text_to_labels_stand_beside_the_networks_where_all_are_known():
    rows = timings().assign(end_to_end_milliseconds=lambda own: 2 * own["milliseconds"], memory_bytes=2e6)
    found = quantization.times(rows).set_index(["time", "language"])
    assert found.loc[("text to labels (ms)", "Average")].tolist()[:3] == [30, 31.5, 15]
    every = quantization.all_settings(rows)
    assert every["text to labels (ms)"].tolist() == pytest.approx((2 * every["ms"]).tolist())
    rows.loc[(rows["language"] == "yor") & (rows["form"] == "fp16"), "end_to_end_milliseconds"] = math.nan
    assert "text to labels (ms)" not in set(quantization.times(rows)["time"]), "an average of other languages"


def test_formats_are_compared_by_their_time_from_text_to_labels():
    """Once, every ratio was of the network alone, where the tokenizer takes as much time as a small network."""
    rows = timings().assign(end_to_end_milliseconds=lambda own: own["milliseconds"] + 10)
    ratio, shorter, counted = quantization.time_ratios(rows)
    assert ratio["llm.int8"].tolist() == [(4 + 10) / (10 + 10), (8 + 10) / (20 + 10)] and counted == TIME[WHOLE]
    assert shorter["fp16"].tolist() == [0] * 2
    rows.loc[(rows["language"] == "yor") & (rows["form"] == "fp16"), WHOLE] = math.nan
    for older in (rows, timings()):
        ratio, _, counted = quantization.time_ratios(older)
        assert ratio["llm.int8"].tolist() == [0.4] * 2 and counted == TIME["milliseconds"]


def test_a_format_is_faster_only_beyond_the_noise_floor():
    found = quantization.speed(timings())
    assert (found.values["faster"], found.values["slower"]) == (["dynamic", "llm.int8"], [])
    assert quantization.speed(timings(fp16=30.0)).values["slower"] == ["fp16"]
    assert quantization.speed(timings(dynamic=10.0, **{"llm.int8": 10.0})).values["faster"] == []


def test_times_of_two_devices_are_never_in_one_column():
    with pytest.raises(SmallerError, match="mix device a GPU, a processor"):
        quantization.times(pd.concat([timings(), timings().assign(device="a GPU")]))
    with pytest.raises(SmallerError, match="No time of fp32 was measured at batch 1 on 1 thread"):
        quantization.times(timings().assign(batch=4))


def test_every_setting_has_a_row_for_each_format():
    found = quantization.all_settings(timings().assign(memory_bytes=2e6))
    assert len(found) == 8 and found["format"].tolist()[:4] == ["fp32", "fp16", "dynamic", "llm.int8"]
    first = found.iloc[2]
    assert (first["threads"], first["batch"], first["ms"], first["of fp32"]) == (1, 1, 7.5, 0.5)
    assert (first["fastest round"], first["slowest round"], first["memory (MB)"]) == (5, 5, 2)
    assert first["noise floor (%)"] == pytest.approx(10)


def test_the_overview_has_bytes_time_and_f1_of_each_format():
    found = quantization.overview(table(), PARTS, timings()).set_index("format")
    assert found.index.tolist() == ["fp32", "fp16", "dynamic", "llm.int8"]
    assert found["time (of fp32)"].tolist() == pytest.approx([1, 1.05, 0.5, 0.4])
    assert pd.isna(found.loc["fp32", "F1 against fp32"]) and found.loc["dynamic", "F1 against fp32"].sign == -1
    assert found.loc["llm.int8", "smaller than fp32 (%)"] == pytest.approx(100 * (1 - 304 / 808))
    assert not {"ships (MB)", "on disk (MB)"} & set(found)
    assert found.loc["dynamic", "F1 against fp32, over sentences"].kind == LACKING


def test_the_overview_has_the_bytes_that_ship_and_those_on_disk_where_a_record_is_older():
    settings = timings()
    settings["disk_bytes"] = settings["form"].map({"fp32": 9e8, "fp16": 5e8}).where(settings["language"] == "swa")
    older = quantization.overview(table(), PARTS, settings).set_index("format")
    assert older.loc["fp16", "on disk (MB)"] == 500 and math.isnan(older.loc["dynamic", "on disk (MB)"])
    found = quantization.overview(table(), PARTS, settings.assign(shipped_bytes=7e8)).set_index("format")
    assert found["ships (MB)"].tolist() == [700] * 4 and "on disk (MB)" not in found


def test_the_smallest_format_is_chosen_on_dev_and_reported_on_test():
    rows, settings = table(spread=0.01), timings()
    found = quantization.best(rows, PARTS, settings)
    assert (found.values["small"], found.values["fast"]) == ("llm.int8", "llm.int8")
    assert found.quantity.low == 100 and found.verdict == ANSWERED
    worse = rows.copy()
    worse.loc[(worse["split"] == "dev") & (worse["form"] == "llm.int8"), "f1"] -= 5
    assert quantization.best(worse, PARTS, settings).values["small"] == "fp16", "what loses on dev is not chosen"
    slow = quantization.best(rows, PARTS, timings(**{"llm.int8": 20.0}))
    assert (slow.values["small"], slow.values["fast"]) == ("llm.int8", "fp16")
    assert slow.quantity.high == pytest.approx(200 / 3), "another format that keeps F1 takes less time"
    near = quantization.best(rows, PARTS, timings(fp16=3.9)).quantity
    assert (near.low, near.high) == (pytest.approx(200 / 3), 100), "3.9 against 4 ms lies inside the noise floor"
    one = quantization.best(table(seeds=(1,)), PARTS, settings)
    assert one.verdict == NOT_DECIDED and one.quantity is None
    none = quantization.best(table(spread=0.01, changes=dict.fromkeys(CHANGES, -5.0) | {"fp32": 0.0}), PARTS, settings)
    assert none.verdict == ANSWERED and none.quantity.high == 0, "that none keeps F1 is decided"


def test_llm_int8_is_compared_with_dynamic_quantization_in_each_language():
    found = quantization.against_dynamic(table(spread=0.01), timings())
    assert (found.quantity.low, found.quantity.n) == (100, 3), "F1, loss and time are one condition each"
    assert found.values["F1"] == found.values["loss"] == [AGREES] * 2 and found.values["time"] == [1] * 2
    close = quantization.against_dynamic(table(spread=0.01), timings(**{"llm.int8": 4.8}))
    assert (close.quantity.low, close.quantity.high) == (pytest.approx(200 / 3), 100)
    assert close.values["time"] == [0] * 2, "4.8 against 5 ms lies inside a noise floor of 10 %"
    slow = quantization.against_dynamic(table(spread=0.01), timings(**{"llm.int8": 8.0}))
    assert slow.values["time"] == [-1] * 2 and slow.quantity.high < 100
    assert quantization.against_dynamic(table(seeds=(1,)), timings()).values["F1"] == [NOT_DECIDED] * 2
    assert not quantization.against_dynamic(table(changes={"fp32": 0.0, "dynamic": 0.0}), timings()).measured


def test_quantization_of_a_pruned_model_is_compared_with_that_of_a_dense_one():
    rows = table(changes={"fp32": 0.0, "dynamic": -2.0}, spread=0.01)
    pruned = table(changes={"fp32": -5.0, "dynamic": -10.0}).assign(sparsity=0.5, compressed_bytes=4e5)
    found = quantization.after_pruning(pd.concat([rows, pruned]))
    first = found.iloc[0]
    assert first["format"] == "dynamic" and first["sparsity (%)"] == 50
    assert (first["pruned"].mean, first["pruned, quantized"].mean) == pytest.approx((-5, -10))
    # Quantization changes the dense model by -2 and the pruned one by -5; n counts seeds, not languages and seeds.
    more = first["pruned minus dense"]
    assert (more.interval.mean, more.interval.n, more.sign) == (pytest.approx(-3), 3, -1)
    assert first["pruned, quantized (MB)"] == 0.4
    assert quantization.on_pruned(found).quantity == more
    same = table(changes={"fp32": -5.0, "dynamic": -7.0}).assign(sparsity=0.5)
    assert quantization.on_pruned(quantization.after_pruning(pd.concat([rows, same]))).quantity.verdict == AGREES
    more = table(changes={"fp32": -7.0, "dynamic": -20.0}).assign(sparsity=0.9, compressed_bytes=4e5)
    both = quantization.after_pruning(pd.concat([rows, pruned, more]))
    assert quantization.on_pruned(both).values == {"more": 2, "same": 0}
    unsure = both.assign(**{"pruned minus dense": [both["pruned minus dense"][0], between([-16.2, -3.7, 8.8])]})
    found = quantization.on_pruned(unsure)
    assert (found.values, found.verdict) == ({"more": 1, "same": 0}, NOT_DECIDED), "a lower mean hides no shown case"
    assert quantization.on_pruned(both).quantity.interval.mean == pytest.approx(-11), "the worst case is the lowest"
    none = quantization.after_pruning(rows)
    assert none.empty and not quantization.on_pruned(none).measured


def test_size_of_the_papers_encoder_follows_from_its_shape():
    found = formats.exact("afriberta-large")
    total = found.groupby("form")["bytes"].sum()
    matrices, outputs = 10 * (4 * 768**2 + 2 * 768 * 3072), 10 * (5 * 768 + 3072)
    assert total["fp32"] == total["onnx"] == 4 * 125_047_305 and total["fp16"] == 2 * 125_047_305
    assert total["llm.int8"] == 2 * (125_047_305 - matrices) + matrices + 4 * outputs
    assert total["dynamic"] == 4 * 125_047_305 - 3 * (matrices + 9 * 768)
    due = quantization_claims.explained(found)
    assert due.values["cast"] == pytest.approx(50) and due.values["whole"] == pytest.approx(64.08, abs=0.05)
    assert due.quantity == pytest.approx(22, abs=0.05), "of the saving, 22 % is due to int8"


@pytest.mark.parametrize("form", ["fp32", "fp16", "bf16", "dynamic", "llm.int8"])
def test_size_from_the_shape_is_that_of_a_converted_network(tiny, form):
    from smaller import encoders

    model = encoders.with_classifier(tiny, ["O", "B-PER", "I-PER"], seed=1)
    shape = encoders.Encoder("tiny", layers=2, heads=2, hidden=24, feed_forward=48, vocabulary=len(tiny.tokenizer))
    computed = formats.exact(shape, labels=3)
    computed = computed[computed["form"] == form].set_index("part")["bytes"]
    measured = pd.Series(formats.bytes_by_part(formats.convert(model, form).network))
    scales = 16 * 13 if form == "dynamic" else 0  # scale and zero point of each Linear layer
    assert (measured - computed).to_dict() == {"embeddings": 0, "linear": scales, "rest": 0}


def test_sizes_by_format_add_up():
    found = quantization.sizes(PARTS.assign(bytes=PARTS["bytes"] * 1e6)).set_index("format")
    assert found.index.tolist() == ["fp32", "fp16", "dynamic", "llm.int8"]
    assert found["in memory (MB)"].tolist() == [808, 404, 508, 304]
    assert found.loc["fp16", "smaller than fp32 (%)"] == pytest.approx(50)
    assert found.loc["llm.int8", "smaller than fp16 (%)"] == pytest.approx(100 * (1 - 304 / 404))
    assert math.isnan(found.loc["dynamic", "smaller than fp16 (%)"]), "what is larger is not smaller"


def quantized(form: str, seed: int, **options: float) -> Recipe:
    return dense("sample-small", FineTune("sample", "swa", seed=seed)).then(Quantize(form, **options))


def test_sizes_are_read_from_the_first_record_of_each_format(keep):
    lacking, first, second = (quantized("fp16", seed) for seed in (1, 2, 3))
    for recipe, size in ((first, 5), (second, 8)):
        step = {
            "step": "Quantize",
            "form": "fp16",
            "report": {"bytes_after": {"embeddings": size, "linear": 6, "rest": 7}},
        }
        steps = [{"step": "FineTune", "report": {}}, step]
        keep({recipe.identity: {"inputs": recipe.inputs(), "steps": steps}})
    found = timing.bytes_by_part([lacking, first, second])
    assert found.to_dict("list") == {"form": ["fp16"] * 3, "part": ["embeddings", "linear", "rest"], "bytes": [5, 6, 7]}


def roundings(lost=None, *, seeds=SEEDS):
    lost = lost or {
        ("all", 8): 0.0,
        ("all", 4): -4.0,
        ("all", 3): -20.0,
        ("embeddings", 8): 0.1,
        ("embeddings", 3): -1.0,
        ("classifier", 3): -0.5,
    }
    noise = {seed: 0.01 * (seed - 2) for seed in seeds}
    rows = [
        row("fp32", language, seed, bits=bits, part=part, f1=80 + change + noise[seed])
        for (part, bits), change in lost.items()
        for language in ("swa", "yor")
        for seed in seeds
    ]
    return pd.DataFrame(rows + [row("fp32", language, seed) for language in ("swa", "yor") for seed in seeds])


def test_rounding_is_paired_with_fp32_by_seed_after_averaging_over_languages():
    found = quantization.rounded(roundings())
    lines = found.set_index(["part", "bits"])["comparison"]
    assert [part for part, _ in lines.index] == ["all weights"] * 3 + ["embeddings"] * 2 + ["classifier"]
    four = lines["all weights", 4].interval
    assert (four.mean, four.n) == (pytest.approx(-4), 3), "n counts seeds"
    shown = quantization.by_bits(found).set_index("part")
    assert list(shown) == ["8 bits", "4 bits", "3 bits"]
    assert list(shown.index) == ["all weights", "embeddings", "classifier"]
    assert shown.loc["all weights", "3 bits"].departs() == AGREES and pd.isna(shown.loc["classifier", "8 bits"])


def test_rounding_is_judged_by_all_weights_at_the_most_bits():
    found = quantization.sensitivity(quantization.rounded(roundings()))
    assert found.quantity.verdict == AGREES and found.quantity.interval.mean == pytest.approx(0)
    assert found.values["shown"] == [("all weights", 4), ("all weights", 3)]
    one = quantization.sensitivity(quantization.rounded(roundings(seeds=(1,))))
    assert one.verdict == NOT_DECIDED and one.values["shown"] == []
    assert not quantization.sensitivity(quantization.rounded(roundings().query("bits != bits"))).measured


def test_a_gain_by_rounding_is_no_loss():
    """The largest change was told as a loss, of embeddings that had gained."""
    found = quantization.sensitivity(quantization.rounded(roundings({("all", 8): 0.0, ("embeddings", 8): 4.0})))
    assert found.values["shown"] == [], "what is told are losses"


def test_outliers_come_from_the_records_that_looked_at_sentences(keep):
    report = {"columns": 0.2, "values": 0.01, "largest": 9.0, "sentences": 3}
    met = {
        quantized("llm.int8", 1, threshold=3.0): report,
        quantized("llm.int8", 2, threshold=3.0): report | {"columns": 0.4, "largest": 12.0},
        quantized("llm.int8", 1, threshold=6.0): None,
    }
    for recipe, outliers in met.items():
        step = {"threshold": recipe.steps[-1].threshold, "report": {"outliers": outliers}}
        keep({recipe.identity: {"inputs": recipe.inputs(), "steps": [step]}})
    looked = timing.outliers([*met, quantized("llm.int8", 3)])
    assert looked["identity"].tolist() == [recipe.identity for recipe in met][:2]
    rows = [row("fp32"), row("fp32", seed=2)]
    rows += [row("llm.int8", seed=recipe.fine_tuning.seed, identity=recipe.identity, f1=79.0) for recipe in met]
    found = quantization.thresholds(looked, pd.DataFrame(rows))
    (only,) = found.to_dict("records")
    f1 = only.pop("F1 against fp32")
    assert only == {
        "threshold": 3.0,
        "outlier columns (%)": pytest.approx(30),
        "outlier values (%)": pytest.approx(1),
        "largest magnitude": 12.0,
    }
    assert (f1.mean, f1.n) == (-1, 2) and not hasattr(f1, "verdict")
    assert quantization.thresholds(looked.iloc[:0], pd.DataFrame(rows)).empty


def test_printed_times_are_of_whole_splits():
    found = quantization_claims.unit_of_time().set_index("column").round(2)
    assert found["correlation with sentences"].to_dict() == {"dense": 0.68, "dynamic": 0.94, "llm.int8": 0.96}
    assert found.loc["llm.int8"].round(1).tolist()[1:] == [23.6, 29.4]
    assert found.loc["dynamic"].round(1).tolist()[1:] == [25.6, 38.9]


def test_ours_stand_beside_the_printed_numbers():
    found = quantization_claims.beside_published(table()).set_index("language")
    assert found.index.tolist() == ["Average", "Swahili", "Yoruba"]
    swahili = found.loc["Swahili"]
    theirs = swahili[["dense, printed", "dynamic, printed", "llm.int8, printed"]].tolist()
    assert theirs == pytest.approx([87.89, -3.31, 0.04])
    theirs = found.loc["Average", ["dense, printed", "dynamic, printed"]].tolist()
    assert theirs == pytest.approx([(87.89 + 80.76) / 2, (-3.31 - 15.66) / 2]), "not the printed average of ten"
    assert (swahili["fp32, ours"].mean, swahili["dynamic, ours"].mean) == pytest.approx((82, -2))


def test_the_loss_is_compared_with_what_is_printed_of_the_same_languages():
    """Once, one language was judged by the printed mean of ten."""
    theirs = quantization_claims.printed("f1")
    lost = theirs["dynamic"] - theirs["dense"]
    assert lost["average"] == pytest.approx(-10.975) and lost["swa"] == pytest.approx(-3.31)
    found = quantization_claims.dynamic_loss(table(("swa",), spread=0.01))
    assert found.values["printed"] == pytest.approx(-3.31) and not found.values["inside"]
    assert found.quantity.mean == pytest.approx(-2 + 3.31) and found.values["change"].sign == -1
    both = quantization_claims.dynamic_loss(table(changes={"fp32": 0.0, "dynamic": -11.0}, spread=0.3))
    assert both.values["printed"] == pytest.approx(lost[["swa", "yor"]].mean())
    swahili = table(("swa",), changes={"fp32": 0.0, "dynamic": -3.31}, spread=0.05)
    assert quantization_claims.dynamic_loss(swahili).values["inside"]
    assert verdicts(swahili, timings(("swa",)))["P1-T3"] == AGREES
    away = quantization_claims.dynamic_loss(table(("swa", "bam")))
    assert (away.verdict, away.quantity) == (NOT_COMPARABLE, None)
    assert quantization_claims.dynamic_loss(table(seeds=(1,))).verdict == NOT_DECIDED
    assert not quantization_claims.dynamic_loss(table(changes={"fp32": 0.0})).measured


AHEAD = Finding("The dense encoder is ahead.", quantity=Comparison(Interval(5.0, 4.0, 6.0, 3), 0.01, 0.01))


def verdicts(rows, settings, *, encoder="afriberta-large", rounded=None):
    """The verdict on each claim; the second of two findings on one claim has a star."""
    rounded = quantization.rounded(roundings()) if rounded is None else rounded
    found = quantization_claims.claims(rows, PARTS, formats.exact("afriberta-large"), settings, rounded)
    page = claims.of_page(found, encoder=encoder, ahead=AHEAD)
    return dict(zip(page["id"].where(~page["id"].duplicated(), page["id"] + "*"), page["verdict"], strict=True))


def test_every_claim_has_a_verdict():
    listed = claims.listed().query("notebook == '04_quantization'")
    found = verdicts(table(spread=0.01), timings())
    assert set(found) == {*listed["id"], "Q10*"}
    assert {name: found[name] for name in ("Q3", "Q9", "Q10", "M3")} == dict.fromkeys(("Q3", "Q9", "Q10", "M3"), AGREES)
    assert {found[name] for name in ("D9", "D11", "D13", "P1-T3")} == {DIFFERS}
    assert found["Q10*"] == found["D14"] == NOT_COMPARABLE and found["D12"] == ANSWERED
    slow = verdicts(table(spread=0.01), timings(**{"llm.int8": 20.0}))
    assert slow["Q3"] == slow["Q9"] == DIFFERS
    theirs = quantization_claims.printed("f1").loc[["swa", "yor"]]
    lost = (theirs["dynamic"] - theirs["dense"]).mean()
    assert verdicts(table(spread=0.01, changes=CHANGES | {"dynamic": lost}), timings())["P1-T3"] == AGREES


def test_what_was_measured_on_another_encoder_says_so():
    found = verdicts(table(spread=0.01), timings(), encoder="mini-base")
    elsewhere = {name for name, verdict in found.items() if verdict.endswith(claims.ELSEWHERE)}
    assert elsewhere == {"Q3", "Q9", "P1-T3", "M3", "D10"}
    assert found["D9"] == found["D13"] == DIFFERS, "what the paper's own numbers decide needs no encoder"


def test_a_gain_in_some_language_is_neither_shown_nor_refuted_by_one_seed():
    assert verdicts(table(seeds=(1,)), timings())["D10"] == NOT_DECIDED
    assert verdicts(table(spread=0.01), timings())["D10"] == DIFFERS, "no language gains, and each is decided"
    rows = table(spread=0.01)
    gain = (rows["form"] == "llm.int8") & (rows["language"] == "yor")
    rows.loc[gain, "f1"] += 2
    assert verdicts(rows, timings())["D10"] == AGREES, "one language is enough"
    rows.loc[gain, "f1"] += (rows.loc[gain, "seed"] - 2) * 5
    assert verdicts(rows, timings())["D10"] == NOT_DECIDED


def test_one_seed_decides_no_claim_on_our_own_measurements():
    found = verdicts(table(seeds=(1,)), timings(), rounded=quantization.rounded(roundings(seeds=(1,))))
    assert {found[name] for name in ("Q3", "Q9", "D10", "P1-T3", "M3")} == {NOT_DECIDED}


def test_claims_say_what_was_not_measured():
    settings = timings()
    settings = settings[settings["form"].isin(["fp32", "fp16"])]
    nothing = quantization.rounded(roundings()).iloc[:0]
    found = verdicts(table(changes={"fp32": 0.0, "fp16": 0.1}), settings, rounded=nothing)
    assert {found[name] for name in ("Q3", "Q9", "Q10*", "D10", "P1-T3", "M3")} == {NOT_MEASURED}


def test_what_the_list_of_claims_prints_is_published():
    listed = claims.listed().set_index("id")
    f1, time = quantization_claims.printed("f1"), quantization_claims.printed("time")
    change = f1["llm.int8"] - f1["dense"]
    gained = change.drop("average")[lambda gains: gains > 0]
    assert f"{change['average']:.2f}" == "-0.05" and "-0.05" in listed.loc["Q3", "printed"]
    assert (len(gained), round(gained.max(), 2)) == (3, 0.05) and "3 of 10" in listed.loc["D10", "printed"]
    slower = time.index[time["llm.int8"] >= time["dynamic"]].tolist()
    assert slower == ["amh"] and time.loc["amh", ["llm.int8", "dynamic"]].tolist() == [13.27, 12.78]
    size, lost = (
        published(row=f"quantization: {what}")["value"].item() for what in ("size reduction", "F1 lost by LLM.int8()")
    )
    assert (size, -lost) == (float(listed.loc["Q10", "value"]), float(listed.loc["D11", "value"]))
