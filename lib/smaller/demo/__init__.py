"""A shipped model as one page that runs it in any browser, by its own JavaScript: tokenizer, network and field."""

from smaller.demo.page import demo, page_of_several

__all__ = ["demo", "page_of_several"]
