"""The study: a recipe is an encoder and a list of steps; `run` finishes recipes and returns their table.

`recipes` and `steps` say what is done, `training` and `evaluation` do it, `results` keeps a record of each recipe, and
`engines` spread the work.
"""

from smaller.base.on_demand import on_demand

__all__, __getattr__, __dir__ = on_demand(
    __name__, {"plans": "Plan", "running": "Recipes estimate flat materialise pending plan run table"}
)
