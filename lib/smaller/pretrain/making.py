"""Make a family: each size in a folder of its own, killed and taken up again at any moment."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from filelock import FileLock, Timeout
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from smaller import encoders
from smaller.base.errors import SmallerError, did_you_mean
from smaller.base.progress import Say, duration, silent
from smaller.encoders import Model
from smaller.encoders.initialisation import look_at_neighbours
from smaller.pretrain.card import card
from smaller.pretrain.held_out import HeldOut, frequency_perplexity, held_out_scores, masked_rows
from smaller.pretrain.settings import DEPTHS, Family
from smaller.pretrain.text import Rows, checksum, encoded, licence_of, readable, sampled_lines, text_files, texts
from smaller.pretrain.tokenizer import learn_tokenizer
from smaller.study import cost
from smaller.study.cache import require_room
from smaller.study.results import now, provenance_of_process
from smaller.study.steps.base import require
from smaller.study.steps.pretraining import SETTINGS, masked_batches
from smaller.study.training import masked_language_loss, train

TOKENIZER_LINES = 50_000
"""How many lines the tokenizer is learned from at most; these take about a minute."""

HELD_OUT_LINES = 500
"""How many held-out lines of a language are scored at most; the others are not trained on either."""

_ABOUT, _REPORT, _TOKENIZER = "family.json", "pretraining.json", "tokenizer"


def pretrain(
    family: Family,
    *,
    corpus: Path,
    out: Path,
    sizes: Sequence[str] = tuple(DEPTHS),
    licence: str = "",
    say: Say = silent,
) -> list[Path]:
    """Make the sizes of a family from a folder of text, and return their folders: `out`/small and so on.

    The corpus holds `<language>.txt` or `<language>.txt.gz`, or a folder of such files for each language, with one
    sentence a line. A call that was killed goes on when it is made again: what is finished is kept, and training has
    checkpoints. A file that cannot be read is left out, and `say` hears why. `licence` is that of the corpus, for the
    cards; without it they quote the corpus's LICENSE file.
    """
    sizes = tuple(dict.fromkeys(sizes))
    require(bool(sizes), f"There is no size to make; sizes are {', '.join(DEPTHS)}.")
    for size in sizes:
        require(
            size in DEPTHS, f"There is no size {size!r}; sizes are {', '.join(DEPTHS)}.{did_you_mean(size, DEPTHS)}"
        )
    files = readable(text_files(corpus, family.languages), asked=family.languages is not None, say=say)
    settings = json.loads(json.dumps(dataclasses.asdict(family)))
    checksums = {language: checksum(paths) for language, paths in files.items()}
    with _claimed(out, {"family": settings, "corpus": checksums}):
        counts = {language: text.counts | {"sha256": checksums[language]} for language, text in texts(files, family)}
        _require_lines(counts, corpus)
        training = [row["training"] for row in counts.values()]
        say(f"{sum(training):,} lines to train on in {len(counts)} languages")
        if not (out / _TOKENIZER).is_dir():
            say(f"learning a tokenizer of {family.vocabulary:,} pieces")
            lines = sampled_lines(files, training, family, limit=TOKENIZER_LINES)
            tokenizer = learn_tokenizer(lines, vocabulary=family.vocabulary)
            with _kept_in(out):
                # Not before: a vocabulary that the text cannot give is mended by another call with another number.
                _write(out / _ABOUT, {"family": settings, "corpus": checksums})
                tokenizer.save_pretrained(out / f".{_TOKENIZER}")
                (out / f".{_TOKENIZER}").rename(out / _TOKENIZER)
        tokenizer = AutoTokenizer.from_pretrained(out / _TOKENIZER, local_files_only=True)
        for size in sizes:
            if (out / size).is_dir():
                say(f"{size}: is there already, at {out / size}")
        if missing := [size for size in sizes if not (out / size).is_dir()]:
            rows, held_out = _prepared(files, tokenizer, family)
            about = {
                "family": settings,
                "corpus": counts,
                "licence": licence or licence_of(corpus),
                "frequency_perplexity": frequency_perplexity(rows.pieces, held_out, tokenizer),
            }
            for size in missing:
                _make(size, family, out, rows, held_out, about, tokenizer, say=_prefixed(size, say))
    return [out / size for size in sizes]


def untrained(family: Family, size: str, tokenizer: PreTrainedTokenizerBase) -> Model:
    """A size of the family as its training finds it."""
    config = encoders.configuration(family.shape(size, vocabulary=len(tokenizer)))
    network = encoders.build(config, seed=family.seed)
    if family.neighbours:
        look_at_neighbours(network)
    return Model(network, tokenizer)


def _prepared(files: Mapping, tokenizer: PreTrainedTokenizerBase, family: Family) -> tuple[Rows, HeldOut]:
    rows, kept = encoded(files, tokenizer, family, limit=HELD_OUT_LINES)
    held_out = {language: masked_rows(lines, tokenizer) for language, lines in kept.items()}
    labels = sum(int((labels >= 0).sum()) for lines in held_out.values() for _, labels in lines)
    require(labels > 0, "The held-out lines are so few that none of their pieces is to be guessed. Raise held_out.")
    return rows, held_out


def _make(
    size: str,
    family: Family,
    out: Path,
    rows: Rows,
    held_out: HeldOut,
    about: Mapping,
    tokenizer: PreTrainedTokenizerBase,
    *,
    say: Say,
) -> None:
    """Train one size, score it, and put its folder in place in one go."""
    draft, scratch = out / f".unfinished-{size}", out / f".scratch-{size}"
    model = untrained(family, size, tokenizer)
    before = held_out_scores(model, held_out)
    say(
        f"{encoders.parameter_count(model.network):,} parameters, held-out perplexity "
        f"{before['overall']['perplexity']:,.1f} before training"
    )
    if not (draft / _REPORT).is_file():
        report = _trained(model, rows, family, scratch=scratch, say=say)
        shutil.rmtree(draft, ignore_errors=True)
        with _kept_in(out):
            encoders.save(model, draft)
            _write(draft / _REPORT, report)
    # Read back also where it was trained just now: the scores are those of the folder.
    model, report = encoders.open_folder(draft), json.loads((draft / _REPORT).read_bytes())
    after = held_out_scores(model, held_out)
    about = {
        "size": size,
        "shape": encoders.shape(model),
        "parameters": encoders.parameter_count(model.network),
        "held_out": {"before": before, "after": after, "frequency_perplexity": about["frequency_perplexity"]},
        "training": report["training"],
        "peak_memory_bytes": cost.peak_memory(),
        **{key: about[key] for key in ("family", "corpus", "licence")},
        "provenance": provenance_of_process() | {"date": now()},
    }
    with _kept_in(out):
        (draft / "README.md").write_text(card(about, family=out.resolve().name), encoding="utf-8")
        _write(draft / _REPORT, about)
        draft.rename(out / size)
    shutil.rmtree(scratch, ignore_errors=True)
    training = report["training"]
    say(
        f"held-out perplexity {after['overall']['perplexity']:,.1f}, accuracy {after['overall']['accuracy']:.1f} %; "
        f"{training['pieces'] / training['seconds']:,.0f} tokens/s for {duration(training['seconds'])}; "
        f"at {out / size}"
    )


def _trained(model: Model, rows: Rows, family: Family, *, scratch: Path, say: Say) -> dict:
    """Train the model in place; the record of it."""
    batches = masked_batches(
        rows, model.tokenizer, updates=family.updates, size=family.batch_size, rate=family.rate, seed=family.seed
    )
    report = train(
        model,
        batches,
        masked_language_loss,
        updates=family.updates,
        learning_rate=family.learning_rate,
        seed=family.seed,
        warm_up=family.updates // 10,
        scratch=scratch,
        say=say,
        **SETTINGS,
    )
    return {"training": report.as_record()}


def _require_lines(counts: Mapping[str, Mapping], corpus: Path) -> None:
    trained, held_out = (sum(row[kind] for row in counts.values()) for kind in ("training", "held_out"))
    require(
        trained > 0 and held_out > 0,
        f"The corpus {corpus} is too small: {held_out} lines are held out, and {trained} are left to train on. "
        "Take more text, or another share held out.",
    )


@contextlib.contextmanager
def _claimed(out: Path, about: Mapping[str, Mapping]) -> Iterator[None]:
    """Hold the folder, which is new, or empty, or holds this family and no other; the claim dies with its process."""
    if out.is_dir():
        _require_own(out, about)  # so no lock is left in a folder of something else
    require_room(out, what="The family", variable="OUT")
    lock = FileLock(out / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise SmallerError(f"Another process is making a family in {out}. Wait for it, or stop it.") from None
    try:
        _require_own(out, about)
        yield
    finally:
        lock.release()


def _require_own(out: Path, about: Mapping[str, Mapping]) -> None:
    if not (out / _ABOUT).is_file():
        others = sorted(place.name for place in out.iterdir() if not place.name.startswith("."))
        require(not others, f"The folder {out} holds {others and others[0]} and no family. Choose a new folder.")
        return
    try:
        found = json.loads((out / _ABOUT).read_bytes())
        before = {**found["family"], **{f"text of {code}": value for code, value in found["corpus"].items()}}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SmallerError(f"{out / _ABOUT} is damaged. Remove the folder, or choose a new one.") from None
    asked = {**about["family"], **{f"text of {code}": value for code, value in about["corpus"].items()}}
    unequal = [key for key in {**asked, **before} if asked.get(key) != before.get(key)]
    told = [
        key if key.startswith("text of") else f"{key} ({before.get(key)} there, {asked.get(key)} here)"
        for key in unequal
    ]
    require(
        not unequal,
        f"The folder {out} holds another family: it differs in {', '.join(told)}. "
        "Choose a new folder, or the settings of that family.",
    )


@contextlib.contextmanager
def _kept_in(out: Path) -> Iterator[None]:
    """Say in one sentence that something could not be written."""
    try:
        yield
    except Exception as problem:  # the libraries that write weights and tokenizers have no OSError for a full disk
        reason = getattr(problem, "strerror", None) or problem
        raise SmallerError(
            f"The family could not be kept in {out}: {reason}. Free some space, and give the same command again."
        ) from problem


def _write(file: Path, value: object) -> None:
    """Write JSON whole or not at all."""
    draft = file.with_name(f".{file.name}")
    draft.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(draft, file)


def _prefixed(size: str, say: Say) -> Say:
    return lambda line: say(f"{size}: {line}")
