"""What the tables say, as values and in words: no number in a sentence is typed.

Each room answers the questions of one notebook with `Finding`s; `claims` judges the papers' claims by them.
"""
