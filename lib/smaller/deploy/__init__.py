"""Models to use: the smallest one that meets a target, searched and shipped, and a finished recipe that is shipped."""

from smaller.base.on_demand import on_demand

__all__, __getattr__, __dir__ = on_demand(__name__, {"search": "Found compress compress_command", "targets": "Target"})
