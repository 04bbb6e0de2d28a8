"""Vocabulary trimming beside the plain way: tokenizers of XLM-R's and mBERT's size, seconds, and memory.

The tokenizers are made on the spot: tokens that a text is cut into, and as many made-up ones as are missing, since
neither time nor memory depends on what a token says. The plain way builds tokenizer and model anew and copies one
embedding row after another.
"""

from __future__ import annotations

import copy
import itertools
import json
import string
import time
from collections.abc import Iterator, Mapping

import numpy as np
import psutil
import torch
from transformers import BertTokenizer, PreTrainedTokenizerBase, XLMRobertaTokenizer

from smaller import encoders
from smaller.bench.base import LANGUAGE, Ask, Material, verdict
from smaller.data import splits
from smaller.encoders import ENCODERS, Encoder, Model
from smaller.encoders.vocabulary import frequent, token_counts
from smaller.study import cost
from smaller.study.steps.trimming import with_tokens

ENCODER = "sample-small"
WAYS = {
    "unigram": "Unigram, this library",
    "plain-unigram": "Unigram, plain",
    "wordpiece": "WordPiece, this library",
    "plain-wordpiece": "WordPiece, plain",
}
SHAPES = {"unigram": "xlm-r-base", "wordpiece": "mbert"}
KEPT = 40_000
LINES = 2000
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SECONDS, MEMORY = 10.0, 2.0
"""The marks: seconds for trimming, and the most memory that the process takes for it, in sizes of the whole model."""


def report(ask: Ask) -> Iterator[str]:
    """A line for each way, then seconds, memory and the ratio beside their marks."""
    found = {}
    for way, meaning in WAYS.items():
        own = found[way] = ask(way)
        if len(found) == 1:
            yield f"Trimming to {KEPT:,} tokens; {own['threads']} threads"
        yield (
            f"{own['seconds']:8.2f} s  {own['memory']:5.2f} times the model at most  {meaning}, "
            f"{own['tokens']:,} tokens by {own['hidden']}"
        )
    for kind in SHAPES:
        own, name = found[kind], WAYS[kind].partition(",")[0]
        yield verdict(f"{own['seconds']:8.2f} s for {name}", f"{SECONDS:g}", reached=own["seconds"] <= SECONDS)
        yield verdict(f"{own['memory']:8.2f} times the model", f"{MEMORY:g}", reached=own["memory"] <= MEMORY)
        yield f"{found[f'plain-{kind}']['seconds'] / own['seconds']:8.1f} times as fast as the plain way"


def measure(
    way: str, given: Material, *, updates: int, kept: int = KEPT, shapes: Mapping[str, Encoder] = ENCODERS
) -> dict:
    """Seconds for tokenizer and model together, and the most memory beyond what there was before the model.

    Counting the tokens of the text is not measured: it is the tokenizer's own work, and the same in both ways.
    """
    kind = way.removeprefix("plain-")
    shape = shapes[SHAPES[kind]]
    lines = splits.text("sample" if given.dataset == "sample" else "corpus", LANGUAGE)[:LINES]
    if kind == "unigram":
        tokenizer = _unigram(given.model.tokenizer, shape.vocabulary)
    else:
        tokenizer = _word_piece(lines, shape.vocabulary)
    ids = frequent(token_counts(lines, tokenizer), tokenizer, size=kept)
    before = psutil.Process().memory_info().rss
    model = Model(encoders.build(encoders.configuration(shape), seed=0), tokenizer)
    began = time.perf_counter()
    smaller = _plain(model, ids) if way.startswith("plain-") else with_tokens(model, ids)
    return {
        "seconds": time.perf_counter() - began,
        "memory": (cost.peak_memory("cpu") - before) / (4 * encoders.parameter_count(model.network)),
        "tokens": len(tokenizer),
        "hidden": shape.hidden,
        "kept": smaller.network.config.vocab_size,
    }


def _made_up(known: set[str], count: int) -> list[str]:
    """So many tokens of six letters that are not there yet."""
    words = ("".join(letters) for letters in itertools.product(string.ascii_lowercase, repeat=6))
    return list(itertools.islice((word for word in words if word not in known), max(0, count)))


def _unigram(small: PreTrainedTokenizerBase, size: int) -> PreTrainedTokenizerBase:
    """The tokens of a tokenizer of that kind, and made-up ones that are too unlikely to be used."""
    pieces = [(piece, score) for piece, score in _vocabulary(small) if piece != small.mask_token]
    lowest = min(score for _, score in pieces)
    extra = _made_up({piece for piece, _ in pieces}, size - len(pieces) - 1)
    return XLMRobertaTokenizer(vocab=[*pieces, *((piece, 2 * lowest) for piece in extra), (small.mask_token, 0.0)])


def _word_piece(lines: list[str], size: int) -> PreTrainedTokenizerBase:
    """The text's letters and words, and made-up tokens."""
    letters = sorted({letter for line in lines for letter in line if not letter.isspace()})
    words = sorted({word for line in lines for word in line.split()})
    known = dict.fromkeys([*_SPECIAL, *letters, *(f"##{letter}" for letter in letters), *words])
    pieces = [*known, *_made_up(set(known), size - len(known))][:size]
    return BertTokenizer(vocab={piece: place for place, piece in enumerate(pieces)}, do_lower_case=False)


def _vocabulary(tokenizer: PreTrainedTokenizerBase) -> list | dict:
    return json.loads(tokenizer.backend_tokenizer.to_str())["model"]["vocab"]


@torch.no_grad()
def _plain(model: Model, kept: np.ndarray) -> Model:
    """Token by token and row by row, as published trimmers do it."""
    vocabulary = _vocabulary(model.tokenizer)
    wanted = [model.tokenizer.convert_ids_to_tokens(int(index)) for index in kept]
    if isinstance(vocabulary, dict):
        tokenizer = BertTokenizer(vocab={piece: place for place, piece in enumerate(wanted)}, do_lower_case=False)
    else:
        scores = dict(vocabulary)
        tokenizer = XLMRobertaTokenizer(vocab=[(piece, scores[piece]) for piece in wanted])
    source = model.network.get_input_embeddings().weight
    config = copy.deepcopy(model.network.config)
    config.vocab_size = len(kept)
    network = encoders.build(config, seed=0)
    table, bias = network.get_input_embeddings().weight, network.get_output_embeddings().bias
    for new, old in enumerate(kept):
        table[new] = source[int(old)]
        bias[new] = model.network.get_output_embeddings().bias[int(old)]
    rest = {name: value for name, value in model.network.state_dict().items() if value.shape[:1] != source.shape[:1]}
    network.load_state_dict(rest, strict=False)
    return Model(network, tokenizer)
