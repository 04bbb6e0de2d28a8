"""The smallest model that meets a target: which recipe, found by dev score, and shipped with what was learned."""

from smaller.deploy.command import compress_command
from smaller.deploy.search import Found, compress
from smaller.deploy.targets import Target

__all__ = ["Found", "Target", "compress", "compress_command"]
