"""From tables of results to statements: intervals, comparisons, the findings of each notebook, and its figures.

No number in a sentence is typed.
"""
