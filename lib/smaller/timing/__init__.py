"""Time and memory of a study's models, measured side by side and kept in their records; and what each of them says."""

from smaller.timing.examples import predictions, training_curves
from smaller.timing.latency import entries, time_side_by_side
from smaller.timing.memory import weigh
from smaller.timing.table import kernel_times, settings_table

__all__ = ["entries", "kernel_times", "predictions", "settings_table", "time_side_by_side", "training_curves", "weigh"]
