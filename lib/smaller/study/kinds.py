"""What kind of recipe a model is of, in words: its steps without their data, languages and seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from smaller.study.steps.base import STEPS

_VERBS = {"FineTune": "fine-tune", "Pretrain": "pre-train", "Adapt": "adapt to the language", "Distil": "distil"}
_VERBS |= {"Cut": "cut", "Prune": "prune", "PruneHeads": "prune heads", "TrimVocabulary": "trim the vocabulary"}
_VERBS |= {"PruneFeedForward": "prune feed-forward neurons", "TruncateHidden": "narrow the hidden states"}
_VERBS |= {"Quantize": "quantize"}
_SHARES = {"sparsity": "{} % of the weights", "coverage": "{} % of the text"}
_SAID = _SHARES | dict.fromkeys(("form", "method", "scope", "include", "logits"), "{}")
_SAID |= {"layers": "{} layers", "heads": "{} heads", "keep": "{} heads", "feed_forward": "{} neurons"}
_SAID |= {"hidden_size": "{} wide", "width_by": "width by {}", "size": "to {:,}", "by": "by {}"}
_SAID |= {"transfer_lines": "{:,} unlabelled lines", "on": "on the {}", "start": "{} start"}
_SETTINGS = (
    "step seed dataset language languages corpus transfer_corpus lines updates rate epochs learning_rate batch_size "
    "max_length warm_up weight_decay calibration tolerance"
).split()
"""What a step is given and no kind of recipe is known by: its data, its seed, and how long it trains."""

_ONCE = {"Adapt": "the adaptation", "Distil": "the distillation on text", "Pretrain": "the pre-training"}
"""What may be trained once for all seeds, by its step."""


def kind(steps: Sequence[Mapping]) -> str:
    """A recipe without its data, languages, seeds, length of training and making of an encoder, in words."""
    return ", then ".join(map(_words, _from_the_encoder(steps)))


def _from_the_encoder(steps: Sequence[Mapping]) -> Sequence[Mapping]:
    return steps[1:] if steps and steps[0]["step"] == "Pretrain" else steps


def _words(step: Mapping) -> str:
    usual = {field.name: field.default for field in dataclasses.fields(STEPS[step["step"]])}
    said = []
    for name, value in step.items():
        if name in _SETTINGS or value is None or value == usual[name] or not (value or usual[name]):
            continue
        value = 100 * value if name in _SHARES else value
        pattern = _SAID.get(name, f"{name.replace('_', ' ')} {{}}")
        said.append(pattern.format(f"{value:g}" if isinstance(value, float) else value))
    return _VERBS.get(step["step"], step["step"]) + (f" ({', '.join(said)})" if said else "")


def is_whole(steps: Sequence[Mapping]) -> bool:
    """Whether nothing is taken from the encoder or added to it: it is fine-tuned, and no more."""
    rest = _from_the_encoder(steps)
    return [step["step"] for step in rest] == ["FineTune"] and not rest[0].get("adapter")


def draws(steps: Sequence[Mapping]) -> dict[str, int]:
    """The seed of each thing that is trained on text before the task's own data."""
    drawn = [step for step in _from_the_encoder(steps) if step["step"] in _ONCE and step.get("on") != "task"]
    return {_ONCE[step["step"]]: step["seed"] for step in drawn}
