"""Plain models: what a linear classifier and a conditional random field do on the same data, without any encoder.

They are what every compressed encoder has to be ahead of, and they are small models themselves. A text is classified by
logistic regression on the TF-IDF of its character n-grams; words are labelled by a linear-chain CRF on the word, its
prefixes and suffixes, its capitals and its neighbours. Settings are chosen on dev, of the few in `CRF_SETTINGS` and
`LINEAR_SETTINGS`. Nothing in them is drawn: there is one model for each data set and language, and no seed.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
import timeit
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from smaller.base.errors import SmallerError
from smaller.base.progress import Say, silent
from smaller.data import splits
from smaller.data.examples import Example, Sentence, Text
from smaller.data.tasks import Task
from smaller.data.text import as_sentence, composed
from smaller.encoders.device import threads_at
from smaller.study import results
from smaller.study.cost import cores, labels_of_texts
from smaller.study.evaluation import scores_of_labels, true_labels
from smaller.study.jobs import materialise
from smaller.study.recipes import Recipe
from smaller.study.timing.latency import text_of

LINEAR, CRF = "linear", "crf"
IN_WORDS = {LINEAR: "a linear model on character n-grams", CRF: "a conditional random field"}

CRF_SETTINGS = ({"c1": 0.1, "c2": 0.1}, {"c1": 0.05, "c2": 0.5})
"""Weights of the CRF's L1 and L2 penalties."""

LINEAR_SETTINGS = ({"C": 1.0}, {"C": 10.0}, {"C": 100.0})
"""Inverse weights of the logistic regression's L2 penalty."""

ITERATIONS = 100
NGRAMS = (1, 5)
AFFIX = 4
TIMED, ROUNDS = 100, 3
"""Sentences that the time of one is measured on, from text to labels, and how often they are read one after another."""

_VERSION = 1
"""Goes up when a change here changes a score: what was kept by an earlier one is then fitted anew."""


def at_every_seed(plain: pd.DataFrame, seeds: Iterable[int]) -> pd.DataFrame:
    """The rows of models without an encoder, once for each seed: nothing in them is drawn, so they stand beside all."""
    every = pd.DataFrame({"seed": sorted(set(seeds))})
    return plain.drop(columns="seed").drop_duplicates().merge(every, how="cross")


def run(dataset: str, languages: Iterable[str], *, seeds: Iterable[int] = (0,), say: Say = silent) -> pd.DataFrame:
    """The plain model of each language: rows for dev and test with the columns of `results.table`.

    `encoder` is "linear" or "crf" and `technique` "plain". Nothing is drawn, so one model stands for each of `seeds`,
    which are those of the models that it is compared with. What was fitted before is read from the results folder.
    SmallerError for a data set that labels nothing.
    """
    task = splits.task(dataset)
    kind, rows = _kind(task), []
    for language in languages:
        record = _record(kind, dataset, language, say=say)
        shared = {
            "encoder": kind,
            "label": kind,
            "identity": record["identity"],
            "technique": "plain",
            "order": "",
            "dataset": dataset,
            "language": language,
            "trained_on": f"{dataset}/{language}",
            "noise": "",
            "sparsity": 0.0,
            "task": task.name,
            "metric": task.metric_name,
            "device": record["provenance"]["device"],
        } | record["cost"]
        rows += [
            shared
            | {"split": key.rpartition("/")[2], "score": scores[task.metric], "seed": seed}
            | {name: value for name, value in scores.items() if name in results.COLUMNS}
            for key, scores in record["scores"].items()
            for seed in seeds
        ]
    return pd.DataFrame(rows).reindex(columns=list(results.COLUMNS))


def time_ratios(dataset: str, beside: Mapping[str, Recipe], *, say: Say = silent) -> dict[str, float]:
    """The time of the plain model of each language as a share of a finished recipe's, by the plain model's identity.

    Both read the same texts and give labels, in turn, one text after another, on one thread. What was measured before
    is read from the results folder; else the model is fitted again, with the settings that were chosen.
    """
    kind, found = _kind(splits.task(dataset)), {}
    for language, recipe in beside.items():
        record = _record(kind, dataset, language, say=say)
        known = record["cost"].setdefault("time_ratios", {})
        if recipe.identity not in known:
            train, test = (splits.sentences(dataset, language, split) for split in ("train", "test"))
            fitted, (encoder, _) = fit(kind, train, **record["settings"]), materialise(recipe)
            readers = {"plain": fitted.of_text, "encoder": lambda text, model=encoder: labels_of_texts(model, [text])}
            spent = _milliseconds(readers, test)
            known[recipe.identity] = spent["plain"] / spent["encoder"]
            results.write(record)
        found[record["identity"]] = known[recipe.identity]
    return found


def _kind(task: Task) -> str:
    return CRF if task.unit == "word" else LINEAR


def _record(kind: str, dataset: str, language: str, *, say: Say) -> dict:
    """The record of a plain model, in the form of a recipe's; it is made where there is none."""
    inputs = {f"{dataset}/{language}": splits.fingerprint(dataset, language)}
    said = json.dumps([_VERSION, kind, inputs, CRF_SETTINGS, LINEAR_SETTINGS, ITERATIONS, NGRAMS, AFFIX])
    identity = hashlib.sha256(said.encode()).hexdigest()[:16]
    if (record := results.of_identity(identity)) is None:
        say(f"fitting a plain model ({kind}) to {dataset}/{language}")
        about = {"plain": kind, "dataset": dataset, "language": language}
        record = {"format": results.FORMAT, "identity": identity, "recipe": about, "inputs": inputs, "steps": []}
        record |= {"provenance": results.provenance()} | _measured(kind, dataset, language)
        results.write(record)
    return record


def _measured(kind: str, dataset: str, language: str) -> dict:
    task = splits.task(dataset)
    train, dev, test = (splits.sentences(dataset, language, split) for split in ("train", "dev", "test"))
    started = time.perf_counter()
    model, settings = chosen(kind, task, train, dev)
    seconds = time.perf_counter() - started
    with tempfile.TemporaryDirectory() as folder:
        size = sum(path.stat().st_size for path in model.save(Path(folder)))
    cost = {
        "parameters": model.parameters,
        "nonzero_parameters": model.parameters,
        "dense_bytes": size,
        "shipped_bytes": size,
        "training_seconds": seconds,
        "end_to_end_milliseconds": _milliseconds({"plain": model.of_text}, test)["plain"],
    }
    scores = {
        f"{dataset}/{language}/{split}": _scores(task, examples, model.predict(examples))
        for split, examples in (("dev", dev), ("test", test))
    }
    return {"scores": scores, "cost": cost, "settings": settings}


def chosen(kind: str, task: Task, train: Sequence[Example], dev: Sequence[Example]) -> tuple[Plain, dict]:
    """The model whose setting has the best main score on dev, and that setting."""
    tried = CRF_SETTINGS if kind == CRF else LINEAR_SETTINGS
    with ThreadPoolExecutor(min(len(tried), cores())) as side_by_side:  # crfsuite leaves the interpreter free meanwhile
        fitted = list(side_by_side.map(lambda settings: (fit(kind, train, **settings), settings), tried))
    return max(fitted, key=lambda pair: _scores(task, dev, pair[0].predict(dev))[task.metric])


def fit(kind: str, train: Sequence[Example], **settings: float) -> Plain:
    """A plain model of the training examples."""
    return {CRF: Crf, LINEAR: Linear}[kind].fit(train, **settings)


def _scores(task: Task, examples: Sequence[Example], predicted: Sequence[Sequence[str]]) -> dict:
    true = true_labels(examples)
    classes = sorted({label for row in true for label in row})
    return scores_of_labels(task, true, predicted, classes=classes, by_sentence=True) | {"sentences": len(examples)}


def _milliseconds(readers: Mapping[str, Callable[[str], object]], examples: Sequence[Example]) -> dict[str, float]:
    """The time that each reader takes for one of the first examples as text: the median over rounds, read in turn."""
    texts = [text_of(example) for example in examples[:TIMED]]
    with threads_at(1):
        rounds = [
            {name: timeit.timeit(lambda read=read: list(map(read, texts)), number=1) for name, read in readers.items()}
            for _ in range(ROUNDS)
        ]
    return {name: 1000 * float(np.median([spent[name] for spent in rounds])) / len(texts) for name in readers}


class Crf:
    """A linear-chain CRF over words (python-crfsuite: L-BFGS with L1 and L2 penalties); made of a file's content."""

    def __init__(self, content: bytes) -> None:
        import pycrfsuite

        self.content, self._tagger = content, pycrfsuite.Tagger()
        self._tagger.open_inmemory(content)

    @classmethod
    def fit(cls, train: Sequence[Sentence], *, c1: float, c2: float) -> Crf:
        import pycrfsuite

        parameters = {"c1": c1, "c2": c2, "max_iterations": ITERATIONS, "feature.possible_transitions": True}
        trainer = pycrfsuite.Trainer(verbose=False, params=parameters)
        for sentence in train:
            trainer.append([features(sentence.words, place) for place in range(len(sentence.words))], sentence.tags)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "model.crfsuite"
            trainer.train(str(file))
            return cls(file.read_bytes())

    @property
    def parameters(self) -> int:
        """Weights of features and transitions that are not zero."""
        about = self._tagger.info()
        return len(about.state_features) + len(about.transitions)

    def predict(self, examples: Sequence[Sentence]) -> list[list[str]]:
        """A tag for each word of each sentence."""
        return [
            self._tagger.tag([features(each.words, place) for place in range(len(each.words))]) for each in examples
        ]

    def of_text(self, text: str) -> list[str]:
        """A tag for each word that is found in a text."""
        return self.predict([as_sentence(composed(text))])[0]

    def save(self, folder: Path) -> list[Path]:
        """Write the model; gives the files."""
        file = folder / "model.crfsuite"
        file.write_bytes(self.content)
        return [file]


def features(words: Sequence[str], place: int) -> list[str]:
    """What a CRF sees of a word: itself, its prefixes, suffixes and shape, and two words on either side."""
    word = words[place]
    low = word.lower()
    found = ["bias", f"word={low}", f"shape={_shape(word)}"]
    found += [f"prefix={low[:length]}" for length in range(1, AFFIX + 1) if len(low) > length]
    found += [f"suffix={low[-length:]}" for length in range(1, AFFIX + 1) if len(low) > length]
    for offset in (-2, -1, 1, 2):
        if 0 <= place + offset < len(words):
            other = words[place + offset]
            found += [f"{offset}:word={other.lower()}", f"{offset}:suffix={other.lower()[-3:]}"]
            found += [f"{offset}:capital"] * other[:1].isupper()
        else:
            found.append(f"{offset}:outside")
    return found


def _shape(word: str) -> str:
    kinds = (
        "X" if letter.isupper() else "x" if letter.isalpha() else "d" if letter.isdigit() else letter
        for letter in word[:12]
    )
    return "".join(kinds)


class Linear:
    """Logistic regression on the TF-IDF of character n-grams within words (scikit-learn)."""

    def __init__(
        self, terms: Sequence[str], idf: np.ndarray, weights: np.ndarray, bias: np.ndarray, labels: Sequence[str]
    ) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self.terms, self.labels = list(map(str, terms)), list(map(str, labels))
        arrays = (np.ascontiguousarray(each, dtype=np.float32) for each in (idf, weights, bias))
        self.idf, self.weights, self.bias = arrays
        self._vectors = TfidfVectorizer(**_VECTORS, vocabulary=self.terms)
        self._vectors.idf_ = self.idf.astype(np.float64)

    @classmethod
    def fit(cls, train: Sequence[Text], *, C: float) -> Linear:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression

        if len({example.label for example in train}) < 2:
            raise SmallerError("A classifier needs texts of two classes or more to learn from.")
        vectors = TfidfVectorizer(**_VECTORS)
        seen = vectors.fit_transform([example.text for example in train])
        model = LogisticRegression(C=C, max_iter=1000).fit(seen, [example.label for example in train])
        weights, bias = model.coef_, model.intercept_
        if len(model.classes_) == 2:  # scikit-learn keeps one row for two classes
            weights, bias = np.vstack([-weights, weights]), np.concatenate([-bias, bias])
        return cls(vectors.get_feature_names_out(), vectors.idf_, weights, bias, model.classes_)

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return self.weights.size + self.bias.size

    def predict(self, examples: Sequence[Text]) -> list[list[str]]:
        """One label for each text."""
        found = self._vectors.transform([example.text for example in examples]) @ self.weights.T + self.bias
        return [[self.labels[place]] for place in found.argmax(axis=1)]

    def of_text(self, text: str) -> list[str]:
        """The label of a text, alone in a list."""
        return self.predict([Text(composed(text), "")])[0]

    def save(self, folder: Path) -> list[Path]:
        """Write the model; gives the files."""
        from safetensors.numpy import save_file

        files = [folder / "model.safetensors", folder / "terms.json"]
        save_file({"idf": self.idf, "weights": self.weights, "bias": self.bias}, files[0])
        named = {"labels": self.labels, "terms": self.terms}
        files[1].write_text(json.dumps(named, ensure_ascii=False), encoding="utf-8")
        return files


Plain = Crf | Linear

_VECTORS = {"analyzer": "char_wb", "ngram_range": NGRAMS, "sublinear_tf": True, "min_df": 2}
