"""Encoders by name: build, fetch, load, copy, save; their shape, parameters and bytes."""

import os

# Where a repository has a pickle only, Transformers asks a service to convert it, in a thread of its own.
os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")

from smaller.encoders.building import build, with_classifier
from smaller.encoders.finding import fetch, is_here, licence, load, plan_fetch, revision, source
from smaller.encoders.folders import open_folder, save, write_network
from smaller.encoders.hub import Fetched, PlannedFetch
from smaller.encoders.inspection import Inspection, inspect
from smaller.encoders.layout import ABOUT_FILE, MASKS_FILE
from smaller.encoders.model import (
    TRAINED,
    Model,
    canonical,
    embedding_weights,
    head_note,
    linear_weights,
    parameter_count,
    shape,
)
from smaller.encoders.registry import ENCODERS, Encoder
from smaller.encoders.shapes import configuration
from smaller.encoders.teachers import TEACHER, only_teaches, open_any

__all__ = [
    "ABOUT_FILE",
    "ENCODERS",
    "MASKS_FILE",
    "TEACHER",
    "TRAINED",
    "Encoder",
    "Fetched",
    "Inspection",
    "Model",
    "PlannedFetch",
    "build",
    "canonical",
    "configuration",
    "embedding_weights",
    "fetch",
    "head_note",
    "inspect",
    "is_here",
    "licence",
    "linear_weights",
    "load",
    "only_teaches",
    "open_any",
    "open_folder",
    "parameter_count",
    "plan_fetch",
    "revision",
    "save",
    "shape",
    "source",
    "with_classifier",
    "write_network",
]
