"""From the tidy table to axes; `notebook.saving` makes files of them, with caption, alternative text and data."""

from smaller.base.on_demand import on_demand

_MODULES = {
    "base": "language_name",
    "distillation": "change_by_language f1_by_student learning_curves retention temperatures",
    "models": "dense_f1 pareto size_and_f1",
    "pruning": "f1_against_sparsity f1_by_language masks_compared sparse_kernel time_by_language",
    "quantization": "f1_against_bits f1_by_format size_waterfall time_by_format",
    "robustness": "attack_success brittleness calibration_errors noise_curves",
    "transfer": "out_of_domain transfer_and_distance transfer_matrix zero_shot",
}
__all__, __getattr__, __dir__ = on_demand(__name__, _MODULES)
