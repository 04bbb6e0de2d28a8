"""What a model is and which steps serve it, looked at once when it is opened."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from smaller.data.schemes import WrongTag, labels_of_words, scheme_of
from smaller.encoders.adapters import adapter_size
from smaller.encoders.folders import positions
from smaller.encoders.model import Model, head_note
from smaller.encoders.tokenizers import (
    cuts_words_as_in_text,
    hides_capitals,
    takes_accents_off,
    tokenizer_kind,
    why_not_trimmed,
)

USUAL_LENGTH = 164
"""The tokens of a sentence that training reads; a model with fewer positions reads as many as it has."""


@dataclass(frozen=True)
class Inspection:
    """What a model is, and what can be done with it.

    `not_served` gives for the name of each step that the model cannot take the reason, in a sentence. `tokenizer` is
    the tokenizer's kind, `positions` the tokens that are read at once, `scheme` that of the labels
    (`data.schemes.scheme_of`; empty for a masked-language model, for labels of texts, and for a mix of schemes).
    `notes` are sentences for whoever brought the model.
    """

    architecture: str
    tokenizer: str
    positions: int
    unit: str
    labels: tuple[str, ...]
    scheme: str
    not_served: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def named(self) -> bool:
        """Whether its labels have names of their own, and not those that Transformers makes up (LABEL_0)."""
        return not self.labels or not all(re.fullmatch(r"LABEL_\d+", label) for label in self.labels)


def inspect(model: Model) -> Inspection:
    """Look at a model that was opened: its kind, its tokenizer by what it does, its labels; takes no data."""
    config = model.network.config
    names = ", ".join(config.architectures or ())
    found = Inspection(
        architecture=config.model_type + f" ({names})" * bool(names),
        tokenizer=tokenizer_kind(model.tokenizer),
        positions=positions(config),
        unit=model.unit,
        labels=model.labels,
        scheme=_scheme(model),
        not_served=dict(_not_served(model)),
    )
    return replace(found, notes=tuple(_notes(model, found)))


def _scheme(model: Model) -> str:
    if model.unit != "word":
        return ""
    try:
        return scheme_of(labels_of_words(model.labels))
    except WrongTag:
        return ""


def _not_served(model: Model) -> Iterator[tuple[str, str]]:
    if why := why_not_trimmed(model.tokenizer):
        yield "TrimVocabulary", why
    if adapter_size(model.network.config):
        yield "TruncateHidden", "Its adapters look at all hidden states as they are."
    if model.labels:
        for step in ("Pretrain", "Adapt"):
            yield step, "It has a classifier, and no head for masked language any more."


def _notes(model: Model, found: Inspection) -> Iterator[str]:
    if "TrimVocabulary" in found.not_served:
        yield found.not_served["TrimVocabulary"] + " All tokens stay."
    if takes_accents_off(model.tokenizer):
        yield "Its tokenizer takes accents off: words that differ in tone look alike to it."
    if hides_capitals(model.tokenizer):
        yield (
            "Its tokenizer makes capitals small although its vocabulary has tokens with capitals: if that is not "
            'meant, add "do_lower_case": false to tokenizer_config.json.'
        )
    if not cuts_words_as_in_text(model.tokenizer):
        yield "Its tokenizer cuts a word that stands alone in another way than in running text."
    if found.positions < USUAL_LENGTH:
        yield f"It reads {found.positions} tokens at once: longer sentences are cut there in training."
    if not found.named:
        yield (
            f"It has no names for its labels ({found.labels[0]}, ...): give them as id2label in config.json, such "
            'as {"0": "O", "1": "B-PER"}.'
        )
    for note in head_note(model).values():
        yield f"Its head for masked language was {note}."
