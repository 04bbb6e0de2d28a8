"""Features of languages: how a tokenizer cuts them, how their words are built, and how far targets lie from sources."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from smaller.base.errors import SmallerError
from smaller.data import datasets, sample, splits
from smaller.data.languages import language as language_of
from smaller.data.sets import EvaluationSet

SEGMENT = 1000

FEATURES = {
    "pieces_per_word": "tokens per word (fertility)",
    "whole_words": "words kept whole (%)",
    "unknown_pieces": "unknown tokens (%)",
    "type_token_ratio": f"type-token ratio of {SEGMENT} words",
    "word_length": "letters per word",
    "training_sentences": "training sentences",
    "pretraining_lines": "lines in pre-training",
}
"""The features of a language, as a reader calls them."""

DISTANCES = {
    "same_script": "same script as the source",
    "relatedness": "related to the source (family, branch)",
    "piece_overlap": "overlap of tokens with the source (%)",
    "unknown_pieces": FEATURES["unknown_pieces"],
    "pieces_per_word": FEATURES["pieces_per_word"],
    "seen": "seen in pre-training",
    "pretraining_lines": FEATURES["pretraining_lines"],
}
"""What may say how far a target lies from a source or from the encoder, as a reader calls it."""


def pretraining_lines(corpus: str) -> dict[str, int]:
    """Lines of unlabelled text by language: what an encoder that was pre-trained on this corpus has seen of each."""
    codes = sample.LANGUAGES if corpus == "sample" else datasets.dataset(corpus).languages
    if not splits.is_text(corpus):
        raise SmallerError(f"The data set {corpus!r} has no unlabelled text; 'sample' and 'corpus' have.")
    return {code: len(splits.text(corpus, code)) for code in codes}


def language_features(
    dataset: str, languages: Sequence[str], tokenizer, *, seen: Mapping[str, int], split: str = "train"
) -> pd.DataFrame:
    """One row for each language, of the labelled words of one split; the columns are dataset, language and `FEATURES`.

    `whole_words` is the share of the running words that are one token of the vocabulary (vocabulary coverage).
    The type-token ratio is the mean over stretches of 1,000 words, since it falls with the length of a text; it and
    the letters per word (accents are no letters) leave out what has no letter. `seen` has the lines of pre-training
    by language. Tokens are counted over running words, each cut by itself.
    """
    rows = []
    for code in languages:
        sentences = splits.sentences(dataset, code, split)
        words = [word for sentence in sentences for word in sentence.words]
        rows.append(
            {"dataset": dataset, "language": code}
            | cut_by(tokenizer, words)
            | _morphology([word.lower() for word in words if _has_letter(word)])
            | {"training_sentences": len(sentences), "pretraining_lines": seen.get(code, 0)}
        )
    return pd.DataFrame(rows, columns=["dataset", "language", *FEATURES])


def distances(
    dataset: str, sources: Sequence[str], targets: Sequence[EvaluationSet], tokenizer, *, seen: Mapping[str, int]
) -> pd.DataFrame:
    """One row for each source language and target; the columns are trained_on, dataset, language and `DISTANCES`.

    `relatedness` is 0, 1 in one family, 2 in one branch of it. `piece_overlap` is the share of the distinct tokens with
    a letter in the target or in the source's training split that both hold (Pires et al. 2019, *How Multilingual is
    Multilingual BERT?*, count it so for entities). The share of the target alone would not do: a language that is cut
    into single letters shares them with every other. `seen` has the lines of pre-training by language.
    """
    known = {code: _pieces(splits.sentences(dataset, code, "train"), tokenizer) for code in sources}
    rows = []
    for target in targets:
        sentences = target.sentences()
        pieces = _pieces(sentences, tokenizer)
        cut = cut_by(tokenizer, (word for sentence in sentences for word in sentence.words))
        lines = seen.get(target.language, 0)
        for code in sources:
            rows.append(
                {
                    "trained_on": f"{dataset}/{code}",
                    "dataset": target.dataset,
                    "language": target.language,
                    "same_script": int(language_of(code).script == language_of(target.language).script),
                    "relatedness": relatedness(code, target.language),
                    "piece_overlap": 100 * len(pieces & known[code]) / max(len(pieces | known[code]), 1),
                    "seen": int(lines > 0),
                    "pretraining_lines": lines,
                }
                | {name: cut[name] for name in ("unknown_pieces", "pieces_per_word")}
            )
    return pd.DataFrame(rows, columns=["trained_on", "dataset", "language", *DISTANCES])


def relatedness(first: str, second: str) -> int:
    """0 for languages of two families, 1 in one family, 2 in one branch of it, as `Language.family` names them."""
    families = [language_of(code).family.split(", ") for code in (first, second)]
    return 2 if families[0] == families[1] else int(families[0][0] == families[1][0])


def cut_by(tokenizer, words: Iterable[str]) -> dict[str, float]:
    """How the tokenizer cuts running words, each by itself: the first three of `FEATURES`."""
    times = Counter(words)
    rows = tokenizer(list(times), add_special_tokens=False)["input_ids"]
    counts = np.fromiter(times.values(), dtype=np.int64)
    lengths = np.fromiter(map(len, rows), dtype=np.int64)
    unknown = np.fromiter((row.count(tokenizer.unk_token_id) for row in rows), dtype=np.int64)
    pieces = int(counts @ lengths)
    return {
        "pieces_per_word": pieces / int(counts.sum()),
        "whole_words": 100 * int(counts @ ((lengths == 1) & (unknown == 0))) / int(counts.sum()),
        "unknown_pieces": 100 * int(counts @ unknown) / max(pieces, 1),
    }


def _pieces(sentences: Iterable, tokenizer) -> set[str]:
    """The distinct tokens of the sentences' words that hold a letter and are not the unknown one."""
    words = list({word for sentence in sentences for word in sentence.words})
    ids = {piece for row in tokenizer(words, add_special_tokens=False)["input_ids"] for piece in row}
    found = tokenizer.convert_ids_to_tokens(sorted(ids - {tokenizer.unk_token_id}))
    return {piece for piece in found if _has_letter(piece)}


def _morphology(words: Sequence[str]) -> dict[str, float]:
    starts = range(0, max(len(words) - SEGMENT, 0) + 1, SEGMENT)
    stretches = [words[start : start + SEGMENT] for start in starts]
    return {
        "type_token_ratio": float(np.mean([len(set(stretch)) / max(len(stretch), 1) for stretch in stretches])),
        "word_length": sum(map(_letters, words)) / max(len(words), 1),
    }


def _letters(word: str) -> int:
    return sum(character.isalpha() for character in unicodedata.normalize("NFD", word))


def _has_letter(word: str) -> bool:
    return any(character.isalpha() for character in word)
