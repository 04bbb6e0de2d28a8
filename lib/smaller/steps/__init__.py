"""The steps of a recipe: a model goes in, a new model comes out, with a report of what was done."""

from smaller.steps.base import Step, step_from_canonical
from smaller.steps.finetuning import FineTune
from smaller.steps.pretraining import Pretrain
from smaller.steps.pruning import Prune

__all__ = ["FineTune", "Pretrain", "Prune", "Step", "step_from_canonical"]
