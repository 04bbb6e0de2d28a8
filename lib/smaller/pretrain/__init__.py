"""A family of encoders of one's own, from a folder of text: small, base and large, as AfriBERTa's."""

from smaller.base.on_demand import on_demand

__all__, __getattr__, __dir__ = on_demand(__name__, {"making": "pretrain", "settings": "DEPTHS Family"})
