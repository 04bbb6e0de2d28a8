"""A shipped model as one page that runs it in any browser, by its own JavaScript: tokenizer, network and field."""

from smaller.base.on_demand import on_demand

__all__, __getattr__, __dir__ = on_demand(__name__, {"page": "demo page_of_several"})
