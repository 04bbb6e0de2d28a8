"""Encoders by name: build, fetch, load, copy, save; their shape, parameters and bytes."""

import os

from smaller.base.on_demand import on_demand

# Where a repository has a pickle only, Transformers asks a service to convert it, in a thread of its own.
os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")

__all__, __getattr__, __dir__ = on_demand(
    __name__,
    {
        "building": "build redrawn reshaped with_classifier",
        "finding": "fetch is_here licence plan_fetch revision source",
        "folders": "open_folder save write_network",
        "hub": "Fetched PlannedFetch",
        "inspection": "Inspection inspect",
        "layout": "ABOUT_FILE MASKS_FILE TRAINED",
        "loading": "load",
        "model": "Model canonical embedding_weights head_note linear_weights parameter_count shape",
        "registry": "ENCODERS Encoder",
        "served": "TEACHER",
        "shapes": "configuration",
        "teachers": "only_teaches open_any",
    },
)
