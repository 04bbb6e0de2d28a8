"""Quantized formats, which four libraries run and which are called alike, and the folder in which a model ships."""

from smaller.base.on_demand import on_demand

__all__, __getattr__, __dir__ = on_demand(
    __name__,
    {
        "base": "PARTS Format Stored bytes_by_part bytes_in_memory parameter_count stored types_by_part",
        "converting": "convert reader require_trainable",
        "dynamic": "engines",
        "llm_int8": "outliers",
        "names": "FORMATS FULL_PRECISION require_format",
        "processor": "processor_notes",
        "sizes": "exact",
    },
)
