"""Answers in words, computed from the table: no number in them is typed."""

from smaller.findings.baselines import dense
from smaller.findings.pruning import (
    best_sparsity,
    departures,
    limits,
    masks,
    sparse_kernel,
    stability,
    stability_verdict,
    time,
)
from smaller.findings.words import names_of, percent

__all__ = [
    "best_sparsity", "dense", "departures", "limits", "masks", "names_of", "percent", "sparse_kernel",
    "stability", "stability_verdict", "time",
]  # fmt: skip
