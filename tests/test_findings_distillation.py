"""Answers on distillation, from tables whose answers are done by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from smaller.findings import ablations, comparisons, distillation, distillation_claims, teachers
from smaller.findings.distillation import AGNOSTIC, CONTINUED, CUT, SCRATCH, SPECIFIC, TEACHER

SEEDS = (1, 2, 3)
SHAPES = ((6, 6), (4, 6), (4, 4), (2, 6), (1, 6))
LOSSES = {6: 1.0, 4: 2.0, 2: 6.0, 1: 20.0}
LEVELS = {"mini-base": 80.0, "mini-large": 84.0}
BEHIND = {AGNOSTIC: 0.0, SPECIFIC: -0.5, CUT: 2.0, CONTINUED: 1.0, SCRATCH: 10.0}


def row(strategy, encoder, layers, heads, language, seed, f1, *, temperature=math.nan, variant=""):
    full = {"mini-base": 8, "mini-large": 10}[encoder]
    return {
        "encoder": encoder, "dataset": "masakhaner", "language": language, "seed": seed, "split": "test", "order": "",
        "technique": "", "on": "", "start": "", "layer_map": "", "temperature": temperature, "layers": layers,
        "heads": heads, "sparsity": 0.0, "method": "", "scope": "", "include": "", "f1": f1,
        "parameters": (3.0 + (full if strategy == TEACHER else layers)) * 1e6, "strategy": strategy,
        "variant": variant, "shape": f"{layers}x{heads}",
    }  # fmt: skip


def study_table(
    encoders=("mini-base",), languages=("swa", "yor"), seeds=SEEDS, shapes=SHAPES, controlled=((4, 6),), noise=0.0
):
    """Teachers of 80 and 84 points in the first language, 10 fewer in the next, plus the seed.

    Students lose what `LOSSES` says by layers and half a point with 4 heads; strategies are as far `BEHIND`.
    """
    generator, rows = np.random.default_rng(1), []
    for encoder in encoders:
        for place, language in enumerate(languages):
            for seed in seeds:
                level = LEVELS[encoder] - 10 * place + seed
                whole = 8 if encoder == "mini-base" else 10
                rows.append(row(TEACHER, encoder, whole, 6, language, seed, level))
                for shape in shapes:
                    student = level - LOSSES[shape[0]] - 0.5 * (shape[1] == 4)
                    for strategy, behind in BEHIND.items():
                        if strategy in (AGNOSTIC, SPECIFIC) or shape in controlled:
                            f1 = student - behind + noise * generator.standard_normal()
                            hot = 2.0 if strategy in (AGNOSTIC, SPECIFIC) else math.nan
                            rows.append(row(strategy, encoder, *shape, language, seed, f1, temperature=hot))
                if seed < 3:
                    student = level - LOSSES[4]
                    for strategy in (AGNOSTIC, SPECIFIC):
                        base = student - BEHIND[strategy]
                        for hot, change in ((3.0, 0.25), (6.0, -1.0)):
                            name = f"temperature {hot:g}"
                            f1 = base + change
                            rows.append(row(strategy, encoder, 4, 6, language, seed, f1, temperature=hot, variant=name))
                        f1 = base + 0.75
                        rows.append(row(strategy, encoder, 4, 6, language, seed, f1, variant="attention relation"))
    return pd.DataFrame(rows)
