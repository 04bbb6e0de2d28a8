import itertools
import json

import matplotlib
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from matplotlib.collections import PathCollection, PolyCollection
from matplotlib.figure import Figure
from PIL import Image

from smaller.analysis import figures
from smaller.analysis.figures.base import GREY, STYLE, log_scale, new_axes, notes
from smaller.analysis.statistics import t_interval
from smaller.base.errors import SmallerError
from smaller.data.published import published
from smaller.notebook.saving import SEEDS, save

GRID = (0.1, 0.5, 0.9)


def synthetic(languages=("swa", "yor"), *, encoders=("afriberta-base",), seeds=(1, 2, 3), methods=("magnitude",)):
    """A tidy table whose F1 falls with sparsity, faster for random masks and after fine-tuning."""
    rows = []
    for encoder in encoders:
        for place, language in enumerate(languages):
            for seed in seeds:
                masks = [("before", s, m) for s in GRID for m in methods]
                masks += [("after", s, m) for s in GRID for m in methods]
                for order, sparsity, method in [("dense", 0.0, ""), *masks]:
                    slope = {"dense": 0, "before": 20, "after": 40}[order] + 20 * (method == "random")
                    rows.append(
                        {
                            "group": order,
                            "encoder": encoder,
                            "dataset": "masakhaner",
                            "language": language,
                            "seed": seed,
                            "split": "test",
                            "order": order,
                            "sparsity": sparsity,
                            "method": method,
                            "scope": "global" if method else "",
                            "include": "linear" if method else "",
                            "f1": 80 - 5 * place - slope * sparsity + seed,
                            "device": "cpu",
                            "milliseconds": 20 + seed,
                            "milliseconds_low": 19.0 + seed,
                            "milliseconds_high": 22.0 + seed,
                            "dense_bytes": 5e8,
                            "compressed_bytes": 4e8,
                        }
                    )
    return pd.DataFrame(rows)


def bands(axes):
    """What is filled between two curves."""
    return [drawn for drawn in axes.collections if isinstance(drawn, PolyCollection)]


def lines(axes):
    """The labelled lines of a panel: {label: (x, y)}."""
    return {
        line.get_label(): (np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float))
        for line in axes.get_lines()
        if not line.get_label().startswith("_")
    }


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_mean_f1_has_a_line_for_each_order_and_encoder_with_seeds_band_and_dense():
    axes = figures.f1_against_sparsity(synthetic(encoders=("afriberta-base", "afriberta-large")))
    drawn = lines(axes)
    assert len(drawn) == 6 and "pruned after fine-tuning, afriberta-large" in drawn
    x, y = drawn["pruned before fine-tuning, afriberta-base"]
    assert x == pytest.approx([10, 50, 90]) and y == pytest.approx([77.5, 69.5, 61.5])  # means of 80 and 75, and seeds
    seeds = [drawn for drawn in axes.collections if isinstance(drawn, PathCollection)]
    assert len(seeds[0].get_offsets()) == 9
    band = bands(axes)[0].get_datalim(axes.transData)
    interval = t_interval([76.5, 77.5, 78.5])
    assert band.y1 == pytest.approx(interval.high)
    assert axes.get_xlabel() == "sparsity (%)" and axes.get_ylabel() == "F1 (points)"


def test_each_series_has_marker_and_line_style_besides_colour():
    axes = figures.f1_against_sparsity(synthetic(encoders=("a", "b")))
    pruned = [line for line in axes.get_lines() if line.get_label().startswith("pruned")]
    looks = {(line.get_marker(), line.get_linestyle(), line.get_color()) for line in pruned}
    assert len(looks) == 4 and len({line.get_marker() for line in pruned}) == 4


def test_one_panel_a_language_with_the_average_first():
    axes = figures.f1_by_language(synthetic(("yor", "swa", "amh")))
    assert [panel.get_title(loc="left") for panel in axes] == ["Average", "Amharic", "Swahili", "Yoruba"]
    assert legend(axes[0].figure) == ["dense", "pruned before fine-tuning", "pruned after fine-tuning"]
    assert axes[0].get_ylim() == axes[3].get_ylim()
    assert axes[0].figure.get_size_inches()[0] == 7
    table = synthetic(("swa",))
    (only,) = figures.f1_by_language(table[table["order"] != "before"])
    assert set(lines(only)) == {"dense", "pruned after fine-tuning"}


def test_one_seed_is_drawn_without_a_band():
    axes = figures.f1_by_language(synthetic(("swa",), seeds=(1,)))[0]
    for path in (path for band in bands(axes) for path in band.get_paths()):
        corners = pd.DataFrame(path.vertices, columns=["x", "y"]).groupby("x")["y"]
        assert (corners.max() - corners.min()).max() == pytest.approx(0)  # no width anywhere
    assert lines(axes)["dense"][1] == pytest.approx([81, 81])


def test_times_start_at_zero_with_the_noise_floor_of_the_dense_model():
    axes = figures.time_by_language(synthetic(), noise_floor=0.1)
    floor = axes[0].patches[0].get_bbox()
    assert (floor.y0, floor.y1) == pytest.approx((19.8, 24.2)) and axes[0].get_ylim()[0] == 0
    assert lines(axes[0])["dense"][1] == pytest.approx([22, 22])
    with pytest.raises(SmallerError, match="No time was measured"):
        figures.time_by_language(synthetic().assign(milliseconds=float("nan")), noise_floor=0.1)


def test_masks_are_compared_order_by_order():
    axes = figures.masks_compared(synthetic(methods=("magnitude", "random")))
    assert [panel.get_title(loc="left") for panel in axes] == ["Pruned before fine-tuning", "Pruned after fine-tuning"]
    drawn = lines(axes[1])
    assert (drawn["magnitude mask"][1] - drawn["random mask"][1]) == pytest.approx([2, 10, 18])


def test_what_a_line_would_mix_is_refused():
    with pytest.raises(SmallerError, match=r"mix method magnitude, random.*isin\(\['', 'magnitude'\]\)"):
        figures.f1_by_language(synthetic(methods=("magnitude", "random")))
    with pytest.raises(SmallerError, match="mix encoder a, b"):
        figures.f1_by_language(synthetic(encoders=("a", "b")))
    with pytest.raises(SmallerError, match="no rows of the test split"):
        figures.f1_by_language(synthetic().assign(split="dev"))


def test_dense_f1_sets_published_baselines_beside_ours():
    baselines = published(table="NER 1.0 baselines", row=["AfriBERTa base", "mBERT"], metric="f1")
    axes = figures.dense_f1(synthetic(), baselines)
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["Swahili", "Yoruba", "Average"] and axes.get_ylim()[0] > axes.get_ylim()[1]
    assert legend(axes.figure) == ["afriberta-base", "mBERT, published", "AfriBERTa base, published"]
    hollow = {line.get_label(): line for line in axes.get_lines() if line.get_markerfacecolor() == "none"}
    assert hollow["AfriBERTa base, published"].get_xdata() == pytest.approx([88.00, 79.36, 83.68])
    assert hollow["mBERT, published"].get_color() == GREY
    assert figures.dense_f1(synthetic()).get_xlabel() == "F1 (points)"


def test_dense_f1_shows_seeds_mean_and_interval_of_each_encoder():
    axes = figures.dense_f1(synthetic(encoders=("a", "b"), seeds=(1, 2, 3)))
    seeds = [line for line in axes.get_lines() if line.get_marker() == "."]
    drawn = sorted([81, 82, 83, 76, 77, 78, 78.5, 79.5, 80.5])  # Swahili, Yoruba, average
    assert [sorted(line.get_xdata()) for line in seeds] == [drawn, drawn]
    spans = [tuple(line.get_xdata()) for line in axes.get_lines() if len(line.get_xdata()) == 2]
    expected = t_interval([81, 82, 83])
    assert any(span == pytest.approx((expected.low, expected.high)) for span in spans)
    assert legend(axes.figure) == ["a", "b"]


def test_size_is_drawn_dense_and_compressed():
    axes = figures.size_and_f1(synthetic())
    x, y = lines(axes)["dense"]
    assert x == pytest.approx([400]) and y == pytest.approx([79.5])
    assert axes.get_xlabel() == "size (MB)" and axes.get_xlim()[0] == 0
    low, high = axes.collections[0].get_segments()[0][:, 1]
    expected = t_interval([78.5, 79.5, 80.5])
    assert (low, high) == pytest.approx((expected.low, expected.high))


def test_sparse_kernel_takes_a_logarithmic_axis_for_large_differences():
    frame = pd.DataFrame({"sparsity": [0.5, 0.9] * 2, "kernel": ["dense"] * 2 + ["sparse"] * 2})
    near = frame.assign(milliseconds=[2.0, 2.0, 4.0, 1.0], milliseconds_low=0.9, milliseconds_high=4.1)
    axes = figures.sparse_kernel(near)
    assert axes.get_yscale() == "linear" and axes.get_ylim()[0] == 0
    assert set(lines(axes)) == {"dense kernel", "sparse kernel"}
    assert figures.sparse_kernel(near.assign(milliseconds=[2.0, 2.0, 40.0, 1.0])).get_yscale() == "log"


def test_a_figure_leaves_settings_alone():
    before = dict(matplotlib.rcParams)
    figures.f1_against_sparsity(synthetic())
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    ("low", "high", "width", "ticks"),
    [
        (0.2, 30, 3.5, [0.2, 0.5, 1, 2, 5, 10, 20]),  # megabytes in a panel
        (1500, 16_000, 3.5, [2000, 5000, 10_000]),
        (0.2, 500, 2, [1, 10, 100]),
        (10, 40_000, 2, [10, 100, 1000, 10_000]),  # seconds
        (10, 40_000, 7, [10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000]),  # in a whole figure
        (1, 1.21, 3.5, [1, 1.1, 1.2]),
        (30, 45, 3.5, None),
        (3, 9, 3.5, None),
    ],
)
def test_ticks_of_a_logarithmic_axis_stand_apart_and_are_two_at_least(low, high, width, ticks):
    with matplotlib.rc_context(fname=STYLE):
        figure = Figure(figsize=(width, 2))
        axes = figure.subplots()
        axes.set_xlim(low, high)
        log_scale(axes.xaxis)
        axes.set_xlim(low, high)
        figure.draw_without_rendering()
        inside = [label for label in axes.get_xticklabels() if low <= label.get_position()[0] <= high]
        boxes = sorted(label.get_window_extent().extents[[0, 2]].tolist() for label in inside)
    places = [label.get_position()[0] for label in inside]
    assert len(places) >= 2
    assert all(end < start for (_, end), (start, _) in itertools.pairwise(boxes)), places
    if ticks:
        assert places == pytest.approx(ticks)


def test_a_narrow_panel_has_fewer_ticks_than_a_wide_one():
    found = {}
    for width in (2, 7):
        with matplotlib.rc_context(fname=STYLE):
            axes = Figure(figsize=(width, 2)).subplots()
            axes.plot([10, 40_000], [1, 1])
            log_scale(axes.xaxis)
            low, high = axes.get_xlim()
            labels = [label for label in axes.get_xticklabels() if low <= label.get_position()[0] <= high]
            found[width] = [label.get_text() for label in labels]
    assert found[2] == ["10", "100", "1,000", "10,000"] and found[7][:4] == ["10", "20", "50", "100"]


def test_save_writes_the_same_bytes_twice_with_data_beside(tmp_path):
    table = synthetic(("swa",))
    cards = [
        save(figures.f1_by_language(table), "pruning", table=table, caption="c", alt="a", folder=tmp_path / str(n))
        for n in range(2)
    ]
    for ending in ("png", "svg", "csv"):
        first, second = (getattr(card, ending).read_bytes() for card in cards)
        assert first == second and len(first) > 500
    assert b"<dc:date>" not in cards[0].svg.read_bytes()
    pd.testing.assert_frame_equal(pd.read_csv(cards[0].csv, keep_default_na=False), table, check_dtype=False)
    with Image.open(cards[0].png) as picture:
        assert picture.width >= 1400 and picture.info["dpi"][0] == pytest.approx(200, abs=0.1)


def test_ticks_stand_at_round_numbers(tmp_path):
    axes = Figure(figsize=(2, 2)).subplots()
    axes.set(xlim=(26, 39.5), ylim=(-8.7, 4.1))
    save(axes, "x", table=pd.DataFrame(), caption="c", alt="a", folder=tmp_path)
    places = [tick for axis in (axes.xaxis, axes.yaxis) for tick in axis.get_majorticklocs()]
    assert len(places) >= 6 and all(place == round(place) for place in places), places


def test_a_card_shows_alternative_text_and_caption_escaped(fresh_folders):
    axes = Figure(figsize=(2, 1)).subplots()
    card = save(axes, "x", table=pd.DataFrame({"a": [1]}), caption="F1 < 80 & falling", alt='a "line"')
    data, metadata = card._repr_mimebundle_()
    shown = BeautifulSoup(data["text/html"], "html.parser")
    assert shown.img["alt"] == 'a "line"' and shown.figcaption.text == "F1 < 80 & falling"
    assert metadata["smaller"]["files"] == ["figures/x.csv", "figures/x.svg", "figures/x.png"]
    json.dumps(metadata)


def test_a_caption_ends_with_what_was_measured_and_what_dots_and_intervals_are(fresh_folders):
    axes, about = Figure().subplots(), {"table": pd.DataFrame(), "alt": "a"}
    card = save(axes, "x", **about, caption="It falls.", over="Swahili (swa); 3 seeds")
    assert card.caption == f"It falls. Swahili (swa); 3 seeds. {SEEDS}"


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"name": "../x"}, "file name"), ({"alt": " "}, "alternative text"), ({"caption": ""}, "caption")],
)
def test_a_figure_needs_a_name_a_caption_and_alternative_text(tmp_path, changes, message):
    given = {"name": "x", "caption": "c", "alt": "a"} | changes
    axes = Figure().subplots()
    with pytest.raises(SmallerError, match=message):
        save(axes, given["name"], table=pd.DataFrame(), caption=given["caption"], alt=given["alt"], folder=tmp_path)


def test_notes_stand_inside_beside_each_other_and_beside_what_is_drawn():
    (axes,) = new_axes(1)
    axes.plot([0, 10], [5, 5], color="black")
    axes.set(xlim=(0, 10), ylim=(0, 10))
    places = {"at the left end": (0, 5), "at the right end": (10, 5), "close": (5, 5), "closer": (5.2, 5)}
    notes(axes, places, {"close": "#d55e00"}, color="#4d4d4d")
    axes.figure.draw_without_rendering()
    boxes = {text.get_text(): text.get_window_extent() for text in axes.texts}
    assert list(boxes) == list(places)
    line = axes.transData.transform((0, 5))[1]
    for text, box in boxes.items():
        assert axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1, text
        assert box.y0 > line - 2 or box.y1 < line + 2, "but for what is below the letters"
    for one, other in itertools.combinations(boxes.values(), 2):
        assert one.x1 <= other.x0 or other.x1 <= one.x0 or one.y1 <= other.y0 or other.y1 <= one.y0
    assert [text.get_color() for text in axes.texts] == ["#4d4d4d", "#4d4d4d", "#d55e00", "#4d4d4d"]
