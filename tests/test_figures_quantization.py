"""Figures of quantization, from tables whose pictures are known."""

import math

import numpy as np
import pandas as pd
import pytest

from smaller import formats
from smaller.analysis import figures
from smaller.base.errors import SmallerError

FORMS = {"fp32": 0.0, "dynamic": -2.0, "llm.int8": 0.1}


def table(languages=("swa", "yor"), seeds=(1, 2, 3)):
    return pd.DataFrame(
        [
            {
                "label": form,
                "encoder": "mini",
                "dataset": "masakhaner",
                "language": language,
                "seed": seed,
                "split": "test",
                "form": form,
                "bits": math.nan,
                "part": "",
                "sparsity": 0.0,
                "f1": 80 + change * (1 + 0.1 * seed),
            }
            for form, change in FORMS.items()
            for language in languages
            for seed in seeds
        ]
    )


def timings(device="a processor"):
    return pd.DataFrame(
        [
            {
                "form": form,
                "language": language,
                "batch": batch,
                "threads": threads,
                "milliseconds": time / threads,
                "milliseconds_low": 0.9 * time / threads,
                "milliseconds_high": 1.2 * time / threads,
                "noise_floor": 0.1,
                "device": device,
            }
            for form, time in {"fp32": 20.0, "dynamic": 10.0}.items()
            for language in ("swa", "yor")
            for batch in (1, 8)
            for threads in (1, 2)
        ]
    )


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def points(axes, marker):
    """The places of all markers of one kind, in the order drawn."""
    return [
        np.column_stack(line.get_data()).astype(float)
        for line in axes.get_lines()
        if line.get_marker() == marker and len(line.get_xdata())
    ]


def test_f1_has_a_place_for_each_format_with_the_printed_change():
    columns = {"dense": [79.0, 80.0, 82.0], "dynamic": [60.0, 70.0, 70.0]}
    printed = pd.DataFrame(columns, index=["average", "swa", "yor"])
    axes = figures.f1_by_format(table(), printed)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["dynamic", "llm.int8"]
    assert np.concatenate(points(axes, "o"))[:, 1] == pytest.approx([-2.4, 0.12])
    assert points(axes, "s")[0].tolist() == [[0, pytest.approx(-11)]], "of the languages that are shown"
    assert axes.get_ylim()[0] < -11
    (dots,) = points(axes, ".")
    assert len(dots) == 6, "a dot for each format and seed: languages are averaged first"
    band = axes.patches[0].get_bbox()
    assert (band.y0, band.y1) == (-0.5, 0.5)
    assert legend(axes.figure)[0] == "within 0.5 points of fp32"
    assert len(points(figures.f1_by_format(table(("swa",)), printed), ".")[0]) == 6


def test_waterfall_goes_from_fp32_over_the_cast_to_int8():
    axes = figures.size_waterfall(formats.exact("afriberta-large"), published={"printed": 181.4})
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [
        "fp32",
        "embeddings to fp16",
        "Linear layers to fp16",
        "fp16",
        "Linear layers to llm.int8",
        "llm.int8",
    ]
    assert legend(axes.figure) == ["embeddings", "Linear layers", "norms and the rest"]
    written = [text.get_text().strip() for text in axes.texts]
    assert written == ["500", "−108", "−142", "250", "−71", "180", "printed: 181.4"]
    pale = [bar for bars in axes.containers for bar in bars if bar.get_facecolor()[3] == 0.45 and bar.get_width()]
    assert sorted(bar.get_x() for bar in pale) == pytest.approx([179.5, 250.2, 391.9], abs=0.2)
    ends = {bar.get_y(): bar.get_x() + bar.get_width() for bars in axes.containers for bar in bars}
    assert max(ends.values()) == pytest.approx(500.19, abs=0.01)


def test_time_has_a_panel_for_each_setting_and_the_noise_floor_of_fp32():
    axes = figures.time_by_format(timings())
    assert [panel.get_title(loc="left") for panel in axes] == [
        "Batch 1, 1 thread",
        "Batch 8, 1 thread",
        "Batch 1, 2 threads",
        "Batch 8, 2 threads",
    ]
    band = axes[0].patches[0].get_bbox()
    assert (band.x0, band.x1) == pytest.approx((20 / 1.1, 22)) and axes[0].get_xscale() == "log"
    assert np.concatenate(points(axes[0], "D"))[:, 0] == pytest.approx([20, 10])
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["fp32", "dynamic"]
    with pytest.raises(SmallerError, match="mix device a GPU, a processor"):
        figures.time_by_format(pd.concat([timings(), timings("a GPU")]))


def test_bits_stand_from_many_to_few_with_a_marker_for_each_part():
    lost = {("all", 8): 0.0, ("all", 3): -20.0, ("classifier", 8): -0.1}
    whole = table().query("form == 'fp32'")
    rounded = [whole.assign(bits=bits, part=part, f1=whole["f1"] + change) for (part, bits), change in lost.items()]
    axes = figures.f1_against_bits(pd.concat([table(), *rounded]))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["8", "3"]
    assert legend(axes.figure) == ["within 0.5 points of fp32", "all weights", "classifier"]
    assert axes.get_yscale() == "symlog" and len(np.concatenate(points(axes, "."))) == 9
    assert sorted(np.concatenate(points(axes, "."))[:, 1]) == pytest.approx([-20] * 3 + [-0.1] * 3 + [0] * 3)
