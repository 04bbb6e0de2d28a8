"""Students: what a distillation trains, cut out of its teacher and made narrower where that is asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase, XLMRobertaConfig

from smaller.base.checks import require, require_choice, require_counts, require_number
from smaller.data.examples import Example
from smaller.encoders import Model, build, with_classifier
from smaller.encoders.learned import learn_tokenizer
from smaller.encoders.tokenizers import tokenizer_kind, why_not_trimmed
from smaller.encoders.vocabulary import most_frequent, trimmed
from smaller.study.steps.base import Step
from smaller.study.steps.cutting import cut
from smaller.study.steps.feedforward import magnitudes, strongest, with_neurons
from smaller.study.steps.trimming import with_tokenizer, with_tokens
from smaller.study.steps.truncation import WAYS, truncated

TOKENS_BY = ("frequency", "learning")
"""Where a student's own tokens come from: those of its teacher that are frequent, or the text."""

POSITIONS = 512
"""What a student reads at once that takes no shape from its teacher."""


def check_width(step: Step) -> None:
    """The fields that make a student narrower than its teacher."""
    require_counts(step, "hidden_size", "feed_forward")
    require_choice(step, "width_by", WAYS)
    require(
        step.width_by == "slice" or (step.hidden_size is not None and step.start == "teacher"),
        f"{type(step).__name__}'s width_by={step.width_by!r} says which part of the teacher's hidden states a student "
        "with its own hidden_size keeps; leave it out.",
    )


def width_label(step: Step) -> list[str]:
    """What names a narrower student in a label."""
    by = "" if step.width_by == "slice" else f" by {step.width_by}"
    return [
        *([f"{step.hidden_size} wide{by}"] if step.hidden_size is not None else []),
        *([f"{step.feed_forward} neurons"] if step.feed_forward is not None else []),
    ]


def check_tokens(step: Step) -> None:
    """The fields that give a student tokens of its own."""
    both = step.tokens is not None and step.coverage is not None
    require(not both, "Distil takes tokens (how many) or a coverage (share of the text), one of them.")
    require_choice(step, "tokens_by", TOKENS_BY)
    require(
        step.tokens_by == TOKENS_BY[0] or step.tokens is not None,
        f"Distil's tokens_by={step.tokens_by!r} learns as many as `tokens` says: give it.",
    )
    require_counts(step, "tokens")
    if step.coverage is not None:
        require_number(step, "coverage", lambda value: 0 < value <= 1, "a share of the text, from 0 to 1")
    require(
        not step.own_tokens or (set(step.weights) <= {"logits", "labels"} and step.logits == "kl"),
        'A student with tokens of its own learns from its teacher\'s logits ("kl") and from labels alone: leave '
        "hidden_weight and attention_weight at 0, and logits at 'kl'.",
    )


def tokens_label(step: Step) -> list[str]:
    """What names a student's own vocabulary in a label."""
    if step.coverage is not None:
        return [f"tokens of {100 * step.coverage:g} %"]
    learned = "learned " if step.tokens_by == "learning" else ""
    return [] if step.tokens is None else [f"{step.tokens:,} {learned}tokens"]


def with_own_tokens(step: Step, model: Model, examples: Sequence[Example]) -> Model:
    """The model with a student's tokens: of its own those most frequent in what it will be taught on, or learned ones.

    Raises SmallerError for a tokenizer whose tokens cannot go one by one.
    """
    if step.tokens_by == "learning":
        return with_tokenizer(model, with_own_tokenizer(step, model, examples))
    why = why_not_trimmed(model.tokenizer)
    require(not why, why)
    lines = (" ".join(each.words) for each in examples)
    return with_tokens(model, most_frequent(lines, model.tokenizer, size=step.tokens, coverage=step.coverage)[0])


LEARNED = 16_000
"""The tokens that are learned from text before the rare ones go, where the teacher's own cannot be taken over."""


def with_own_tokenizer(step: Step, model: Model, examples: Sequence[Example]) -> PreTrainedTokenizerBase:
    """A tokenizer for a student of any teacher: of the teacher's tokens the frequent ones, or learned from the text.

    Unigram in any case, which a page reads too. XLM-R counts positions from the id of the padding token, so that one
    has to be among the first.
    """
    lines = [" ".join(each.words) for each in examples]
    if step.tokens_by == "learning":
        made = learn_tokenizer(lines, vocabulary=step.tokens, exactly=False)
        made.model_max_length = min(model.tokenizer.model_max_length, POSITIONS)
        return made
    found = model.tokenizer
    special = [getattr(found, f"{name}_token_id") for name in ("pad", "cls", "sep", "unk", "mask")]
    if tokenizer_kind(found) != "Unigram" or None in special or found.pad_token_id > 3:
        found = learn_tokenizer(lines, vocabulary=LEARNED, exactly=False)
    made = trimmed(found, most_frequent(lines, found, size=step.tokens, coverage=step.coverage)[0])
    made.model_max_length = min(made.model_max_length, POSITIONS)
    return made


def drawn(step: Step, labelled: Model, tokenizer: PreTrainedTokenizerBase) -> Model:
    """A student of XLM-R's kind with random weights, in the shape of a step's fields, with its teacher's labels."""
    require(
        None not in (step.hidden_size, step.heads, step.feed_forward),
        "Of a teacher of another architecture a student takes no shape: give Distil hidden_size, heads and "
        "feed_forward.",
    )
    config = XLMRobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=step.hidden_size,
        num_hidden_layers=step.layers,
        num_attention_heads=step.heads,
        intermediate_size=step.feed_forward,
        max_position_embeddings=POSITIONS + tokenizer.pad_token_id + 1,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
    )
    encoder = Model(build(config, seed=step.seed), tokenizer)
    return with_classifier(encoder, labelled.labels, seed=step.seed, unit=labelled.unit)


def student_of(
    step: Step, model: Model, layer_map: tuple[int, ...], rows: Sequence[Tensor]
) -> tuple[Model, Tensor | None]:
    """The student that a step's fields describe, and the basis of its hidden states in its teacher's, if narrower.

    `rows` are token ids of what a width that is not sliced looks at.
    """
    student = cut(model, layer_map, heads=step.heads, start=step.start, seed=step.seed)
    if step.feed_forward is not None:
        student = with_neurons(student, strongest(magnitudes(student), step.feed_forward))
    if step.hidden_size is None:
        return student, None
    return truncated(student, step.hidden_size, by=step.width_by, rows=rows)[:2]


@contextlib.contextmanager
def widened(network: nn.Module, basis: Tensor | None) -> Iterator[nn.Linear | None]:
    """A linear map from a student's hidden states to its teacher's width, trained with it and then thrown away.

    It begins as the way back to where the student's dimensions were taken from (TinyBERT learns one such map for all
    layers: Jiao et al. 2020, section 3.1). None where there is no basis.
    """
    if basis is None:
        yield None
        return
    network.hidden_projection = nn.Linear(basis.shape[1], basis.shape[0], bias=False, device="meta")
    network.hidden_projection.weight = nn.Parameter(basis.clone())
    try:
        yield network.hidden_projection
    finally:
        del network.hidden_projection
