"""The reader of a shipped graph: words and texts to probabilities by numpy, tokenizers and ONNX Runtime alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from smaller.base import settings
from smaller.base.errors import SmallerError
from smaller.base.paths import expanded
from smaller.data.examples import Example, Text
from smaller.data.tokens import Row, rows_of_texts, rows_of_words
from smaller.serving.answers import Reading
from smaller.serving.folder import ABOUT_FILE, GRAPHS, Graph, about, graph_of


def open_graph(folder: Path | str) -> GraphReader | None:
    """The reader of a shipped folder of an ONNX format; None for any other folder.

    Raises SmallerError for a folder of a newer version, with missing or changed files, or without ONNX Runtime.
    """
    folder = expanded(folder)
    said = about(folder) if (folder / ABOUT_FILE).is_file() else {}
    if said.get("form") not in GRAPHS:
        return None
    try:
        return GraphReader(folder, said)
    except SmallerError:
        raise
    except Exception as problem:  # each library has kinds of its own for files that it cannot read
        raise SmallerError(f"The folder {folder} could not be read as {said['form']}: {problem}") from None


class GraphReader:
    """A graph with its tokenizer and labels.

    It reads each row alone and unpadded, on one thread, and as many at once as there are threads: int8 activations have
    one scale for a batch, so that otherwise an answer would depend on what else is in it. It takes a quarter longer.
    """

    def __init__(self, folder: Path, said: dict) -> None:
        self.labels, self.unit = tuple(said["labels"]), said["unit"]
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        told = json.loads((folder / "tokenizer_config.json").read_bytes())
        self.max_length = told["model_max_length"]
        self.unknown = self.tokenizer.token_to_id(str(told.get("unk_token")))  # a byte-level tokenizer has none
        self.graph = Graph(graph_of(folder, said["form"]), threads=1)
        sizes = self.graph.session.get_outputs()[0].shape  # sentences, tokens where words are labelled, labels
        unit, count = "word" if len(sizes) == 3 else "text", sizes[-1]
        if (unit, count) != (self.unit, len(self.labels)):
            raise SmallerError(
                f"{folder / ABOUT_FILE} has {len(self.labels)} labels of a {self.unit}, and the graph gives {count} of "
                f"a {unit}. Ship the model again."
            )
        self.threads = settings.threads()
        self.pool = ThreadPoolExecutor(self.threads)

    def read(self, examples: Sequence[Example]) -> list[Reading]:
        """A reading of each example."""
        given = {"tokenizer": self.tokenizer, "unknown": self.unknown, "max_length": self.max_length}
        if isinstance(examples[0], Text):
            found = rows_of_texts([text.text for text in examples], **given)
        else:
            found = rows_of_words([sentence.words for sentence in examples], **given, whole=True)
        chances = [np.full((len(each.labels), len(self.labels)), np.nan, np.float32) for each in examples]
        rows = [(row, own) for each, own in zip(found, chances, strict=True) for row in each.rows]
        list(self.pool.map(self._fill, [rows[first :: self.threads] for first in range(self.threads)]))
        return [Reading(own, len(each.rows), each.cut, each.unknown) for each, own in zip(found, chances, strict=True)]

    def _fill(self, rows: Sequence[tuple[Row, np.ndarray]]) -> None:
        for row, chances in rows:
            logits = self.graph.logits(row.pieces[None], np.ones((1, len(row.pieces)), np.int64))[0]
            powers = np.exp(logits - logits.max(-1, keepdims=True))
            # A classifier of texts has one place, the first token.
            places = np.flatnonzero(row.words >= 0)
            chances[row.words[places]] = (powers / powers.sum(-1, keepdims=True)).reshape(-1, len(self.labels))[places]
