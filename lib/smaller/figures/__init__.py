"""From the tidy table to axes, and from a figure to files with caption, alternative text and data."""

from smaller.figures.base import FILES, FigureCard, inside_outputs, language_name, save
from smaller.figures.baselines import dense_f1, size_and_f1
from smaller.figures.pruning import f1_against_sparsity, f1_by_language, masks_compared, sparse_kernel, time_by_language

__all__ = [
    "FILES", "FigureCard", "dense_f1", "f1_against_sparsity", "f1_by_language", "inside_outputs", "language_name",
    "masks_compared", "save", "size_and_f1", "sparse_kernel", "time_by_language",
]  # fmt: skip
