"""smaller: a study of what happens when a small-data language model is made smaller.

The one idea: a recipe is an encoder and a list of steps. See `smaller.study`.
Importing this package loads nothing heavy; its modules do.
"""

import os

# Threads of a model's arithmetic that wait for each other keep a core busy unless told otherwise. Where other work
# wants that core, each then waits for its turn again and again, and training becomes tens of times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
