"""From tables of results to intervals, comparisons, findings and figures; no number in a sentence is typed."""
