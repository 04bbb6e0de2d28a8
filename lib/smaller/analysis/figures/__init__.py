"""From the tidy table to axes, and from a figure to files with caption, alternative text and data."""

from smaller.analysis.figures.base import FILES, FigureCard, inside_outputs, language_name, save
from smaller.analysis.figures.distillation import (
    change_by_language,
    f1_by_student,
    learning_curves,
    retention,
    temperatures,
)
from smaller.analysis.figures.models import dense_f1, pareto, size_and_f1
from smaller.analysis.figures.pruning import (
    f1_against_sparsity,
    f1_by_language,
    masks_compared,
    sparse_kernel,
    time_by_language,
)
from smaller.analysis.figures.quantization import f1_against_bits, f1_by_form, size_waterfall, time_by_form
from smaller.analysis.figures.robustness import attack_success, brittleness, calibration_errors, noise_curves
from smaller.analysis.figures.transfer import out_of_domain, transfer_and_distance, transfer_matrix, zero_shot

__all__ = [
    "FILES",
    "FigureCard",
    "dense_f1",
    "f1_against_bits",
    "f1_against_sparsity",
    "f1_by_form",
    "f1_by_language",
    "inside_outputs",
    "language_name",
    "masks_compared",
    "save",
    "size_and_f1",
    "size_waterfall",
    "sparse_kernel",
    "time_by_form",
    "time_by_language",
    "change_by_language",
    "f1_by_student",
    "learning_curves",
    "retention",
    "temperatures",
    "attack_success",
    "brittleness",
    "calibration_errors",
    "noise_curves",
    "pareto",
    "out_of_domain",
    "transfer_and_distance",
    "transfer_matrix",
    "zero_shot",
]
