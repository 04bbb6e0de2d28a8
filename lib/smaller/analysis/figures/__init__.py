"""From the tidy table to axes; `notebook.saving` makes files of them, with caption, alternative text and data."""

from smaller.analysis.figures.base import language_name
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
from smaller.analysis.figures.quantization import f1_against_bits, f1_by_format, size_waterfall, time_by_format
from smaller.analysis.figures.robustness import attack_success, brittleness, calibration_errors, noise_curves
from smaller.analysis.figures.transfer import out_of_domain, transfer_and_distance, transfer_matrix, zero_shot
