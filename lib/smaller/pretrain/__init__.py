"""A family of encoders of one's own, from a folder of text: small, base and large, as AfriBERTa's."""

from smaller.pretrain.making import pretrain
from smaller.pretrain.settings import DEPTHS, Family

__all__ = ["DEPTHS", "Family", "pretrain"]
