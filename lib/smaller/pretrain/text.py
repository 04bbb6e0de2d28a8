"""The text of a family: found in a folder, cleaned, divided, and kept as tokens."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from smaller.base.errors import SmallerError
from smaller.base.progress import Say
from smaller.data.encoding import encode_text
from smaller.data.files import content_checksum, read_content
from smaller.data.texts import read_lines
from smaller.pretrain.settings import Family

_LICENCE = re.compile(r"licen[cs]e|copying", re.IGNORECASE)
_LICENCE_LENGTH = 1500


@dataclass(frozen=True)
class Text:
    """The different lines of a language, to train on and held out, and how many were `repeated`, or too `short`."""

    training: list[str]
    held_out: list[str]
    repeated: int
    short: int

    @property
    def counts(self) -> dict[str, int]:
        """How many lines there are of each kind."""
        lines = {"training": len(self.training), "held_out": len(self.held_out)}
        return lines | {"repeated": self.repeated, "short": self.short}


class Rows(Sequence[Tensor]):
    """Rows of token ids, end to end in one array; a list of tensors would take several times the memory.

    `order` says which row stands where; a row may stand in several places.
    """

    def __init__(self, tokens: np.ndarray, lengths: np.ndarray, order: np.ndarray) -> None:
        self.tokens, self.order = tokens, order
        self.ends = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, place: int) -> Tensor:
        row = self.order[place]
        return torch.from_numpy(self.tokens[self.ends[row] : self.ends[row + 1]].astype(np.int64))


def readable(files: Mapping[str, Sequence[Path]], *, asked: bool, say: Say) -> dict[str, list[Path]]:
    """The files that can be read; `say` hears of each that is left out.

    Raises SmallerError where nothing is left, of the corpus or of a language that was `asked` for by its name.
    """
    kept: dict[str, list[Path]] = {}
    problems: list[SmallerError] = []
    for language, paths in files.items():
        for path in paths:
            try:
                read_lines(path)
            except SmallerError as problem:
                problems.append(problem)
                say(f"left out: {problem}")
            else:
                kept.setdefault(language, []).append(path)
        if asked and language not in kept:
            raise problems[-1]
    if not kept:
        raise problems[0]
    return kept


def checksum(files: Sequence[Path]) -> str:
    """The SHA-256 that stands for the content of files, however they are called and stored."""
    return hashlib.sha256("".join(content_checksum(file) + "\n" for file in files).encode()).hexdigest()


def licence_of(corpus: Path) -> str:
    """What the LICENSE file of a corpus folder says, at most its beginning; empty where there is none."""
    for file in sorted(corpus.iterdir()):
        if file.is_file() and _LICENCE.match(file.name):
            text = read_content(file).decode("utf-8", errors="replace").strip()
            return text if len(text) <= _LICENCE_LENGTH else f"{text[:_LICENCE_LENGTH]} ... (goes on in {file.name})"
    return ""


def texts(files: Mapping[str, Sequence[Path]], family: Family) -> Iterator[tuple[str, Text]]:
    """The languages with their texts, read one after another: never more than one is in memory.

    A line is held out by its own checksum: in every order of the lines, and in every corpus that holds it.
    """
    for language, paths in files.items():
        lines = [" ".join(line.split()) for path in paths for line in read_lines(path)]
        different = list(dict.fromkeys(lines))
        long = [line for line in different if line.count(" ") + 1 >= family.least_words] or different
        draws = [int.from_bytes(hashlib.sha256(line.encode()).digest()[:8]) / 2**64 for line in long]
        drawn = list(zip(draws, long, strict=True))
        yield (
            language,
            Text(
                training=[line for draw, line in drawn if draw >= family.held_out],
                held_out=[line for draw, line in sorted(drawn) if draw < family.held_out],
                repeated=len(lines) - len(different),
                short=len(different) - len(long),
            ),
        )


def smoothed_order(counts: Sequence[int], *, smoothing: float, seed: int) -> np.ndarray:
    """The places of all lines, those of smaller languages several times, so that shares are smoothed.

    `counts` are the languages' lines, in their order; a language that has n has a share of n to the power of
    `smoothing`. Each line of the largest is there once.
    """
    sizes = np.array(counts, dtype=np.int64)
    wanted = np.rint(sizes**smoothing * float(sizes.max()) ** (1 - smoothing)).astype(np.int64) * (sizes > 0)
    generator = np.random.default_rng(seed)
    order = []
    for start, size, number in zip(np.cumsum(sizes) - sizes, sizes, wanted, strict=True):
        whole, rest = divmod(int(number), max(1, int(size)))
        order += [start + np.tile(np.arange(size), whole), start + generator.permutation(size)[:rest]]
    return np.concatenate(order)


def sampled_lines(
    files: Mapping[str, Sequence[Path]], counts: Sequence[int], family: Family, *, limit: int
) -> Iterator[str]:
    """Lines to train on, at most `limit`, with the smoothed shares of the languages."""
    order = smoothed_order(counts, smoothing=family.smoothing, seed=family.seed)
    chosen = np.sort(np.random.default_rng(family.seed).permutation(order)[:limit])
    start = 0
    for _, text in texts(files, family):
        end = start + len(text.training)
        yield from (text.training[place - start] for place in chosen[(chosen >= start) & (chosen < end)])
        start = end


def encoded(
    files: Mapping[str, Sequence[Path]], tokenizer: PreTrainedTokenizerBase, family: Family, *, limit: int
) -> tuple[Rows, dict[str, list[Tensor]]]:
    """The rows to train on, in smoothed shares, and for each language at most `limit` rows that are held out."""
    kind = np.uint16 if len(tokenizer) <= 1 << 16 else np.int32
    tokens, lengths, counts, held_out = [], [], [], {}
    for language, text in texts(files, family):
        for start in range(0, len(text.training), 4096):
            rows = encode_text(text.training[start : start + 4096], tokenizer, max_length=family.max_length)
            tokens.append(torch.cat(rows).numpy().astype(kind))
            lengths.append(np.array([len(row) for row in rows], dtype=np.int32))
        counts.append(len(text.training))
        if text.held_out:
            held_out[language] = encode_text(text.held_out[:limit], tokenizer, max_length=family.max_length)
    order = smoothed_order(counts, smoothing=family.smoothing, seed=family.seed)
    return Rows(np.concatenate(tokens), np.concatenate(lengths), order), held_out
