"""The steps of a recipe: a model goes in, a new model comes out, with a report of what was done."""

from smaller.steps.adaptation import Adapt
from smaller.steps.base import Step, step_from_canonical
from smaller.steps.cutting import Cut
from smaller.steps.distillation import Distil
from smaller.steps.feedforward import PruneFeedForward
from smaller.steps.finetuning import FineTune
from smaller.steps.heads import PruneHeads
from smaller.steps.pretraining import Pretrain
from smaller.steps.pruning import Prune
from smaller.steps.quantization import Quantize, Round
from smaller.steps.trimming import TrimVocabulary
from smaller.steps.truncation import TruncateHidden

__all__ = [
    "Adapt", "Cut", "Distil", "FineTune", "Pretrain", "Prune", "PruneFeedForward", "PruneHeads", "Quantize", "Round",
    "Step", "TrimVocabulary", "TruncateHidden", "step_from_canonical",
]  # fmt: skip
