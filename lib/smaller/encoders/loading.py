"""From a name to a model in memory."""

from __future__ import annotations

from pathlib import Path

from smaller.base.errors import SmallerError
from smaller.base.progress import silent
from smaller.data import sample
from smaller.encoders import hub
from smaller.encoders.building import build
from smaller.encoders.finding import find
from smaller.encoders.folders import open_folder
from smaller.encoders.initialisation import look_at_neighbours
from smaller.encoders.model import Model
from smaller.encoders.registry import Encoder
from smaller.encoders.served import TEACHER
from smaller.encoders.shapes import configuration
from smaller.encoders.teachers import open_teacher


def load(name: str) -> Model:
    """The masked-language model behind a name, in fp32; random weights for the sample family.

    One of the hub's that is not here yet is fetched.
    """
    found = find(name)
    if isinstance(found, Encoder) and not found.pretrained:
        tokenizer = sample.tokenizer()
        network = build(configuration(found, vocabulary=len(tokenizer)), seed=0)
        look_at_neighbours(network)
        return Model(network, tokenizer)
    if isinstance(found, Encoder) and found.made_from:
        raise SmallerError(f"The encoder {name} is made from {found.made_from}: study.jobs.open_encoder makes it.")
    if name.startswith(TEACHER):
        return open_teacher(found)
    return open_folder(found) if isinstance(found, Path) else _from_hub(found)


def _from_hub(encoder: Encoder) -> Model:
    folder = hub.fetch(encoder, say=silent).folder
    try:
        return open_folder(folder)
    except SmallerError as problem:
        raise SmallerError(f"The encoder {encoder.name} of {encoder.repository}: {problem}") from None
