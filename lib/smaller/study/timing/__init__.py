"""Time and memory of a study's models, measured side by side and kept in their records; and what each of them says."""

from smaller.base.on_demand import on_demand

__all__, __getattr__, __dir__ = on_demand(
    __name__,
    {
        "examples": "curves predictions telling training_curves",
        "latency": "entries time_side_by_side",
        "memory": "weigh",
        "table": "bytes_by_part kernel_times outliers settings_table shares",
    },
)
