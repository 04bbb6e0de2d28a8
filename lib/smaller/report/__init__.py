"""Run the notebooks, and turn them into pages that need no network: answers, tables and figures with their data.

Inside a notebook, `answer` and `show` display a finding and a table; outside, `run_all` runs the notebooks of a
profile and `write_report` renders what has been run.
"""

from smaller.notebook.display import answer, in_numbers, show
from smaller.report.building import run_all, write_report
from smaller.report.front import index
from smaller.report.page import Page, render

__all__ = ["Page", "answer", "in_numbers", "index", "render", "run_all", "show", "write_report"]
