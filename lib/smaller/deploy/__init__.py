"""Models to use: the smallest one that meets a target, searched and shipped, and a finished recipe that is shipped."""

from smaller.deploy.search import Found, compress, compress_command
from smaller.deploy.targets import Target

__all__ = ["Found", "Target", "compress", "compress_command"]
