"""The study: a recipe is an encoder and a list of steps; `run` finishes recipes and returns their table.

`recipes` and `steps` say what is done, `training` and `evaluation` do it, `results` keeps a record of each recipe, and
`engines` spread the work.
"""

from smaller.study.running import Plan, Recipes, estimate, flat, materialise, pending, plan, run, table

__all__ = ["Plan", "Recipes", "estimate", "flat", "materialise", "pending", "plan", "run", "table"]
