"""Run the notebooks, and turn them into pages that need no network: answers, tables and figures with their data.

Inside a notebook, `answer` and `show` display a finding and a table; outside, `run_all` runs the notebooks of a
profile and `write_report` renders what has been run.
"""

from smaller.base.on_demand import on_demand

__all__, __getattr__, __dir__ = on_demand(
    __name__,
    {
        "building": "run_all",
        "page": "Page render",
        "pages": "index write_report",
        "smaller.notebook.display": "answer in_numbers show",
    },
)
