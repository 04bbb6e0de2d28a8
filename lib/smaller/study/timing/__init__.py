"""Time and memory of a study's models, measured side by side and kept in their records; and what each of them says."""

from smaller.study.timing.examples import curves, predictions, telling, training_curves
from smaller.study.timing.latency import entries, time_side_by_side
from smaller.study.timing.memory import weigh
from smaller.study.timing.table import bytes_by_part, kernel_times, outliers, settings_table

__all__ = [
    "bytes_by_part",
    "curves",
    "entries",
    "kernel_times",
    "outliers",
    "predictions",
    "settings_table",
    "telling",
    "time_side_by_side",
    "training_curves",
    "weigh",
]
