"""The smallest model that meets a target: which recipe, found by dev score, and shipped with what was learned."""

from smaller.compress.command import compress_command
from smaller.compress.search import Found, compress
from smaller.compress.targets import Target

__all__ = ["Found", "Target", "compress", "compress_command"]
