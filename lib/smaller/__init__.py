"""smaller: a study of what happens when a small-data language model is made smaller.

The one idea: a recipe is an encoder and a list of steps. See `smaller.recipes`, `smaller.steps` and `smaller.study`.
Importing this package loads nothing heavy; its modules do.
"""

__version__ = "0.1.0"
