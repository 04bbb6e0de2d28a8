"""The steps of a recipe: a model goes in, a new model comes out, with a report of what was done."""

from smaller.study.steps.base import Step, step_from_canonical
from smaller.study.steps.cutting import Cut
from smaller.study.steps.distillation import Distil
from smaller.study.steps.feedforward import PruneFeedForward
from smaller.study.steps.finetuning import FineTune
from smaller.study.steps.heads import PruneHeads
from smaller.study.steps.pretraining import Adapt, Pretrain
from smaller.study.steps.pruning import Prune
from smaller.study.steps.quantization import Quantize, Round
from smaller.study.steps.trimming import TrimVocabulary
from smaller.study.steps.truncation import TruncateHidden

__all__ = [
    "Adapt",
    "Cut",
    "Distil",
    "FineTune",
    "Pretrain",
    "Prune",
    "PruneFeedForward",
    "PruneHeads",
    "Quantize",
    "Round",
    "Step",
    "TrimVocabulary",
    "TruncateHidden",
    "step_from_canonical",
]
