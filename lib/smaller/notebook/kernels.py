"""Kernels for notebooks, forked from a process that has imported what notebooks use, so that none imports it again.

Each notebook still has a process of its own, in which nobody has worked before.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

from smaller.base import forks, settings

IMPORTED = (
    "ipykernel.ipkernel",
    "smaller.notebook.beginning",
    "smaller.notebook.pipeline_parameters",
    "smaller.notebook.trying",
    "smaller.analysis.figures",
    "smaller.analysis.findings.claims",
    "smaller.analysis.findings.summary",
    "transformers.models.xlm_roberta.modeling_xlm_roberta",
)
"""Not ipykernel.kernelapp: at its import it reads whose child it is."""


def nursery(environment: Mapping[str, str]) -> AbstractContextManager[forks.Nursery | None]:
    """A nursery for kernels, which have it fork their workers; None where processes cannot be forked."""
    return forks.nursery(IMPORTED, settings.of_kernel(environment))
