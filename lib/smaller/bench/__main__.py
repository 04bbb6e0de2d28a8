"""The process in which one way is measured: its section, name, encoder and number of updates are the arguments."""

import json
import sys

import torch

from smaller.bench import section as section_of
from smaller.bench.base import material
from smaller.study import cost

section, way, encoder, updates = sys.argv[1:]
given = material(encoder)
found = section_of(section).measure(way, given, updates=int(updates))
found |= {"about": given.about, "peak_memory_bytes": cost.peak_memory(), "updates": int(updates)}
found |= {"cores": cost.cores(), "threads": torch.get_num_threads(), "machine": cost.machine()}
sys.stdout.write(json.dumps(found) + "\n")
