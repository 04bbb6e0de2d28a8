"""Shapes that fill the limits: of each kind the widest that is within them, told by a few that were measured."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from scipy.optimize import nnls

from smaller.deploy.candidates import Plan, Shape
from smaller.deploy.measuring import Measured, Scales
from smaller.deploy.targets import Target

LADDER = (1, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64)
"""With a limit on the loss alone: the shares of the whole model's bytes that candidates may have."""

USUAL = {"layers": 4, "coverage": 0.99, "learned": 2500, "neurons": 2}
"""The kind of student that did best so far: kinds near it are tried first, those of each vocabulary by turns."""


def kinds(plan: Plan) -> list[list[Shape]]:
    """Shapes by what they have in common, all but the width; the widest first, the usual kinds before all others."""
    found: dict[tuple, list[Shape]] = {}
    for shape in plan.shapes():
        neurons = round(4 * shape.feed_forward / shape.hidden)
        found.setdefault((shape.layers, shape.coverage, shape.learned, neurons), []).append(shape)
    by_tokens: dict[tuple, list[list[Shape]]] = {}
    for shapes in sorted(found.values(), key=lambda shapes: _distance(shapes[-1])):
        by_tokens.setdefault((shapes[0].coverage, shapes[0].learned), []).append(shapes)
    turns = itertools.zip_longest(*(by_tokens[tokens] for tokens in sorted(by_tokens, key=_rest)))
    return [shapes for turn in turns for shapes in turn if shapes]


def _distance(shape: Shape) -> float:
    """How far a kind is from the usual one: a halving of layers counts one, and so does one of neurons."""
    neurons = shape.feed_forward / shape.hidden
    return abs(math.log2(shape.layers / USUAL["layers"])) + abs(math.log2(neurons / USUAL["neurons"]))


def _rest(tokens: tuple[float, int]) -> float:
    """How far a vocabulary is from the usual one of its kind: by the share of the text that it leaves, or its size."""
    coverage, learned = tokens
    if learned:
        return abs(math.log(learned / USUAL["learned"]))
    return abs(math.log(max(1 - coverage, 2e-4) / (1 - USUAL["coverage"])))


def estimate(scales: Scales) -> Callable[[Shape], Measured]:
    """Bytes and time of any shape, by least squares from the few that are measured for it.

    Bytes go with the parameters, the layers and the tokenizer's text; milliseconds with the multiplications for a token
    and the layers; each besides a constant.
    """

    def sizes(shape: Shape) -> tuple[float, ...]:
        return scales.parameters(shape), shape.layers, scales.tokenizer_bytes(shape)

    measured = scales.measurable(_samples(scales.plan))
    found = [scales.of(shape) for shape in measured]
    size = _fit(measured, sizes, [one.size for one in found])
    network, whole = (
        _fit(measured, lambda shape: (shape.work, shape.layers), [getattr(one, name) for one in found])
        for name in ("milliseconds", "end_to_end")
    )
    return lambda shape: Measured(size(shape), network(shape), whole(shape))


def _samples(plan: Plan) -> list[Shape]:
    """A few shapes that differ in layers, width and tokens, small enough to be measured in seconds."""
    shapes = [shape for shape in plan.shapes() if not shape.learned]
    few = [shape for shape in shapes if shape.feed_forward <= shape.hidden] or shapes
    deep, wide, covered = (sorted({getattr(shape, name) for shape in few}) for name in ("layers", "hidden", "coverage"))
    least, wider = wide[0], wide[len(wide) // 3]
    deeper, more = deep[len(deep) // 2], covered[len(covered) // 2]
    wanted = dict.fromkeys(
        [
            (deep[0], least, covered[0]),
            (deeper, least, covered[0]),
            (deep[0], wider, covered[0]),
            (deeper, wider, covered[0]),
            (deep[0], least, more),
        ]
    )
    found = (next((s for s in few if (s.layers, s.hidden, s.coverage) == one), None) for one in wanted)
    return [shape for shape in found if shape is not None]


def _fit(
    shapes: Sequence[Shape], known: Callable[[Shape], tuple[float, ...]], values: Sequence[float]
) -> Callable[[Shape], float]:
    """The plane through what was measured; none of its slopes is below zero. Zero where nothing could be."""
    if not shapes:
        return lambda shape: 0.0
    columns = np.array([(*known(shape), 1.0) for shape in shapes])
    scale = columns.max(axis=0)
    slopes, _ = nnls(columns / scale, values)
    return lambda shape: float(np.dot((*known(shape), 1.0) / scale, slopes))


def filling(
    scales: Scales, target: Target, *, count: int, told: Callable[[Shape], Measured] | None = None
) -> list[Shape]:
    """At most so many shapes that are within the limits of bytes and time, each as wide as they allow; measured.

    No one contains another. `told` is what `estimate` gives, where it is there already.
    """
    told = told or estimate(scales)
    likely = [
        [shape for shape in shapes if not _missed(target, scales.try_of(shape, told))] for shapes in kinds(scales.plan)
    ]
    widest = [shapes[0] for shapes in likely if shapes]
    found: list[Shape] = []
    for shapes in likely:
        if len(found) >= count:
            break
        if not shapes or any(shapes[0].within(other) for other in widest):
            continue
        shape = next((shape for shape in shapes if not _missed(target, scales.try_of(shape))), None)
        if shape is not None and not any(shape.within(other) for other in found):
            found = [*(other for other in found if not other.within(shape)), shape]
    return found


def ladder(scales: Scales, *, count: int) -> list[Shape]:
    """Shapes of falling size, where only the loss is limited."""
    whole, told = scales.of(scales.plan.whole).size, estimate(scales)
    limits = (Target(max_bytes=share * whole) for share in LADDER)
    found: Iterable[Shape] = (shape for limit in limits for shape in filling(scales, limit, count=1, told=told))
    return list(dict.fromkeys(found))[:count]


def _missed(target: Target, measured: Measured | None) -> bool:
    return measured is None or bool(target.missed(size=measured.size, milliseconds=measured.end_to_end))
