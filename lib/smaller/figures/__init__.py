"""From the tidy table to axes, and from a figure to files with caption, alternative text and data."""

from smaller.figures.base import FILES, FigureCard, inside_outputs, language_name, save
from smaller.figures.baselines import dense_f1, size_and_f1
from smaller.figures.distillation import change_by_language, f1_by_student, learning_curves, retention, temperatures
from smaller.figures.pruning import f1_against_sparsity, f1_by_language, masks_compared, sparse_kernel, time_by_language
from smaller.figures.quantization import bytes_by_form, f1_against_bits, f1_by_form, size_waterfall, time_by_form
from smaller.figures.robustness import attack_success, brittleness, calibration_errors, noise_curves
from smaller.figures.summary import explored, pareto, pareto_by_language
from smaller.figures.transfer import (
    correlations,
    out_of_domain,
    transfer_and_distance,
    transfer_matrix,
    zero_shot,
)

__all__ = [
    "FILES", "FigureCard", "bytes_by_form", "dense_f1", "f1_against_bits", "f1_against_sparsity", "f1_by_form",
    "f1_by_language", "inside_outputs", "language_name", "masks_compared", "save", "size_and_f1", "size_waterfall",
    "sparse_kernel", "time_by_form", "time_by_language",
    "change_by_language", "f1_by_student", "learning_curves", "retention", "temperatures",
    "attack_success", "brittleness", "calibration_errors", "noise_curves",
    "explored", "pareto", "pareto_by_language",
    "correlations", "out_of_domain", "transfer_and_distance", "transfer_matrix", "zero_shot",
]  # fmt: skip
