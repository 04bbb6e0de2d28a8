"""Figures of distillation: seeds, means and intervals of every student stand where the tables put them."""

import numpy as np
import pandas as pd
import pytest

from smaller.analysis import figures
from smaller.analysis.findings.distillation import AGNOSTIC, LABELS, SPECIFIC, TEACHER
from smaller.analysis.statistics import AVERAGE, t_interval
from smaller.base.errors import SmallerError
from smaller.study import timing

SEEDS = (1, 2, 3)
LOST = {(4, 6): 2.0, (2, 6): 6.0, (2, 3): 7.0}


def table(languages=("yor", "amh"), *, encoders=("mini-base",)):
    """Teachers of 80 points, 10 fewer in the second language; task-specific students lose a point less each seed."""
    rows = []
    for encoder in encoders:
        for place, language in enumerate(languages):
            for seed in SEEDS:
                about = {
                    "encoder": encoder,
                    "dataset": "masakhaner",
                    "language": language,
                    "seed": seed,
                    "split": "test",
                    "temperature": 2.0,
                }
                whole = about | {"layers": 8, "heads": 6, "parameters": 10e6}
                level = 80.0 - 10 * place + seed
                rows.append(whole | {"strategy": TEACHER, "variant": "", "f1": level})
                for (layers, heads), lost in LOST.items():
                    student = about | {"layers": layers, "heads": heads, "parameters": (2.0 + layers) * 1e6}
                    for strategy, more in ((AGNOSTIC, 0.0), (SPECIFIC, 0.5 * seed), (LABELS, 0.25)):
                        if strategy != LABELS or layers == 4:
                            rows.append(student | {"strategy": strategy, "variant": "", "f1": level - lost + more})
                    if layers == 4:
                        hot = {"strategy": AGNOSTIC, "variant": "temperature 6", "temperature": 6.0}
                        rows.append(student | hot | {"f1": level - lost - seed})
    found = pd.DataFrame(rows)
    return found.assign(shape=found["layers"].astype(str) + "x" + found["heads"].astype(str))


def seeds_of(axes):
    """The places of the dots of single seeds, rounded: (x, y)."""
    return {
        (round(float(x), 3), round(float(y), 3))
        for line in axes.get_lines()
        if line.get_marker() == "."
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    }


def intervals_of(axes, *, upright):
    """The ends of the drawn intervals."""
    ends = [
        (line.get_ydata() if upright else line.get_xdata())
        for line in axes.get_lines()
        if line.get_marker() in ("None", "") and len(line.get_xdata()) == 2
    ]
    return {(round(float(min(end)), 3), round(float(max(end)), 3)) for end in ends}


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_every_student_stands_in_the_row_of_its_shape():
    (axes,) = figures.f1_by_student(table())
    assert [label.get_text() for label in axes.get_yticklabels()] == ["4x6", "2x6", "2x3"]
    assert legend(axes.figure) == [TEACHER, AGNOSTIC, SPECIFIC, LABELS]
    low, high = sorted(axes.get_ylim())
    assert (low, high) == (-0.5, 2.5), "no shape is cut off"
    # Languages are averaged first: teachers of 76, 77 and 78 points.
    assert {x for x, _ in seeds_of(axes)} >= {74.0, 75.0, 76.0, 70.0, 71.0, 72.0, 69.0}
    own = t_interval([74.0, 75.0, 76.0])
    assert (round(own.low, 3), round(own.high, 3)) in intervals_of(axes, upright=False)
    assert len(figures.f1_by_student(table(encoders=("mini-base", "mini-large")))) == 2


def test_what_students_keep_may_be_more_than_everything():
    good = table()
    good.loc[good["strategy"] == SPECIFIC, "f1"] += 6.0
    (axes,) = figures.retention(good)
    kept = [100 * (level + 4 + 0.5 * seed) / level for level, seed in ((76.0, 1), (77.0, 2), (78.0, 3))]
    assert {round(value, 3) for value in kept} <= {x for x, _ in seeds_of(axes)}
    interval = t_interval(kept)
    assert interval.high > 100 and (round(interval.low, 3), round(interval.high, 3)) in intervals_of(
        axes, upright=False
    )


def test_changes_stand_over_what_is_saved_and_are_not_cut_at_zero():
    axes = figures.change_by_language(table())
    assert [panel.get_title(loc="left") for panel in axes] == ["Average", "Amharic", "Yoruba"]
    (line,) = [line for line in axes[0].get_lines() if line.get_label() == AGNOSTIC]
    assert line.get_xdata() == pytest.approx([40.0, 60.0]) and line.get_ydata() == pytest.approx([-2.0, -6.0])
    band = np.concatenate(
        [
            found.get_paths()[0].vertices[:, 1]
            for found in axes[0].collections
            if len(found.get_paths()) == 1 and len(found.get_paths()[0].vertices) > 4
        ]
    )
    lowest = t_interval([-6 + 0.5 * seed for seed in SEEDS]).low
    assert min(band) <= lowest + 1e-6 < 0


def test_one_shape_alone_has_a_bar_for_its_interval():
    few = table()
    axes = figures.change_by_language(few[(few["layers"] != 2)])
    bars = [found for panel in axes for found in panel.collections if type(found).__name__ == "LineCollection"]
    assert bars, "a band has no width at a single place"


def test_temperatures_are_drawn_against_the_first_seed_by_seed():
    (axes,) = figures.temperatures(table())
    assert [label.get_text() for label in axes.get_yticklabels()] == ["6"]
    assert {x for x, _ in seeds_of(axes)} == {-1.0, -2.0, -3.0} and "temperature 2" in legend(axes.figure)


def test_learning_curves_have_a_panel_for_each_loss():
    frame = timing.curves({name: [(None, [3.0, 2.0, 1.0], 10)] for name in ("4x6", "2x6")})
    axes = figures.learning_curves({"one": frame, "two": frame, "three": frame})
    assert [panel.get_title(loc="left") for panel in axes] == ["one", "two", "three"]
    assert axes[0].get_lines()[0].get_xdata() == pytest.approx([0, 10, 20])
    assert len({line.get_linestyle() for line in axes[0].get_lines()[:2]}) == 2
    many = pd.concat([frame.assign(series=str(number)) for number in range(7)])
    with pytest.raises(SmallerError, match="7 curves; 6 can be told apart"):
        figures.learning_curves({"many": many})


def test_averages_have_the_panel_before_every_language():
    axes = figures.change_by_language(table(("amh", "swa")))
    assert axes[0].get_title(loc="left") == figures.language_name(AVERAGE)
