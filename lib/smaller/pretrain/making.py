"""Make a family: each size in a folder of its own, killed and taken up again at any moment."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from filelock import FileLock, Timeout
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from smaller import encoders
from smaller.base.checks import require
from smaller.base.errors import SmallerError
from smaller.base.files import draft_of, require_room, told, write_whole
from smaller.base.progress import Say, duration, silent
from smaller.encoders import Model
from smaller.encoders.initialisation import look_at_neighbours
from smaller.encoders.learned import learn_tokenizer
from smaller.formats.card import filled
from smaller.pretrain.corpus import require_sizes, text_files
from smaller.pretrain.held_out import HeldOut, frequency_perplexity, held_out_scores, masked_rows
from smaller.pretrain.settings import DEPTHS, Family
from smaller.pretrain.text import Rows, checksum, encoded, licence_of, readable, sampled_lines, texts
from smaller.study import cost
from smaller.study.results import now, provenance_of_process
from smaller.study.steps.pretraining import SETTINGS, train_on_rows
from smaller.study.training import masked_language_loss

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
    sizes = require_sizes(sizes)
    files = readable(text_files(corpus, family.languages), asked=family.languages is not None, say=say)
    checksums = {language: checksum(paths) for language, paths in files.items()}
    about = {"family": json.loads(json.dumps(dataclasses.asdict(family))), "corpus": checksums}
    with _claimed(out, about):
        counts = {language: text.counts | {"sha256": checksums[language]} for language, text in texts(files, family)}
        trained, kept = ([row[kind] for row in counts.values()] for kind in ("training", "held_out"))
        require(
            sum(trained) > 0 and sum(kept) > 0,
            f"The corpus {corpus} is too small: {sum(kept)} lines are held out, and {sum(trained)} are left to train "
            "on. Take more text, or another share held out.",
        )
        say(f"{sum(trained):,} lines to train on in {len(counts)} languages")
        if not (out / _TOKENIZER).is_dir():
            say(f"learning a tokenizer of {family.vocabulary:,} tokens")
            lines = sampled_lines(files, trained, family, limit=TOKENIZER_LINES)
            tokenizer = learn_tokenizer(lines, vocabulary=family.vocabulary)
            with _kept_in(out):
                # Not before: a vocabulary that the text cannot give is mended by another call with another number.
                write_whole(out / _ABOUT, about)
                with draft_of(out / _TOKENIZER) as draft:
                    tokenizer.save_pretrained(draft)
        missing = [size for size in sizes if not (out / size).is_dir()]
        for size in sizes:
            if size not in missing:
                say(f"{size}: is there already, at {out / size}")
        if missing:
            about |= {"corpus": counts, "licence": licence or licence_of(corpus)}
            making = _Making.of(family, out, files, about)
            for size in missing:
                making.make(size, say=lambda line, size=size: say(f"{size}: {line}"))
    return [out / size for size in sizes]


def untrained(family: Family, size: str, tokenizer: PreTrainedTokenizerBase) -> Model:
    """A size of the family as its training finds it."""
    config = encoders.configuration(family.shape(size, vocabulary=len(tokenizer)))
    network = encoders.build(config, seed=family.seed)
    if family.neighbours:
        look_at_neighbours(network)
    return Model(network, tokenizer)


@dataclasses.dataclass(frozen=True)
class _Making:
    """What all sizes of a family share."""

    family: Family
    out: Path
    tokenizer: PreTrainedTokenizerBase
    rows: Rows
    held_out: HeldOut
    about: Mapping

    @classmethod
    def of(cls, family: Family, out: Path, files: Mapping, about: Mapping) -> _Making:
        tokenizer = AutoTokenizer.from_pretrained(out / _TOKENIZER, local_files_only=True)
        rows, kept = encoded(files, tokenizer, family, limit=HELD_OUT_LINES)
        held_out = {language: masked_rows(lines, tokenizer) for language, lines in kept.items()}
        labels = sum(int((labels >= 0).sum()) for lines in held_out.values() for _, labels in lines)
        require(labels > 0, "The held-out lines are so few that none of their tokens is to be guessed. Raise held_out.")
        return cls(family, out, tokenizer, rows, held_out, about)

    def make(self, size: str, *, say: Say) -> None:
        """Train one size, score it, and put its folder in place in one go."""
        draft, scratch = self.out / f".unfinished-{size}", self.out / f".scratch-{size}"
        model = untrained(self.family, size, self.tokenizer)
        before = held_out_scores(model, self.held_out)
        count, perplexity = encoders.parameter_count(model.network), before["overall"]["perplexity"]
        say(f"{count:,} parameters, held-out perplexity {perplexity:,.1f} before training")
        if not (draft / _REPORT).is_file():
            report = self._trained(model, scratch, say)
            shutil.rmtree(draft, ignore_errors=True)
            with _kept_in(self.out):
                encoders.save(model, draft)
                write_whole(draft / _REPORT, report)
        # Read back also where it was trained just now: the scores are those of the folder.
        model, report = encoders.open_folder(draft), json.loads((draft / _REPORT).read_bytes())
        training = report["training"]
        say(
            f"trained for {duration(training['seconds'])}, "
            f"{training['pieces'] / training['seconds']:,.0f} tokens/s; scoring"
        )
        after = held_out_scores(model, self.held_out)
        frequency = frequency_perplexity(self.rows.tokens, self.held_out, self.tokenizer)
        about = {
            "size": size,
            "shape": encoders.shape(model),
            "parameters": encoders.parameter_count(model.network),
            "held_out": {"before": before, "after": after, "frequency_perplexity": frequency},
            "training": training,
            "peak_memory_bytes": cost.peak_memory(),
            **self.about,
            "provenance": provenance_of_process() | {"date": now()},
        }
        with _kept_in(self.out):
            (draft / "README.md").write_text(card_of(about, family=self.out.resolve().name), encoding="utf-8")
            write_whole(draft / _REPORT, about)
            draft.rename(self.out / size)
        shutil.rmtree(scratch, ignore_errors=True)
        told = after["overall"]
        say(f"held-out perplexity {told['perplexity']:,.1f}, accuracy {told['accuracy']:.1f} %; at {self.out / size}")

    def _trained(self, model: Model, scratch: Path, say: Say) -> dict:
        """Train the model in place; the record of it."""
        run = {"warm_up": self.family.updates // 10, "scratch": scratch, "say": say}
        report = train_on_rows(self.family, model, self.rows, masked_language_loss, **run, **SETTINGS)
        return {"training": report.as_record()}


@contextlib.contextmanager
def _claimed(out: Path, about: Mapping[str, Mapping]) -> Iterator[None]:
    """Hold the folder, which is new, or empty, or holds this family and no other; the claim dies with its process."""
    if out.is_dir():
        _require_own(out, about)  # so no lock is left in a folder of something else
    require_room(out, what="The family", variable="OUT")
    try:
        held = FileLock(out / ".lock").acquire(timeout=0)
    except Timeout:
        raise SmallerError(f"Another process is making a family in {out}. Wait for it, or stop it.") from None
    with held:
        _require_own(out, about)
        yield


def _require_own(out: Path, about: Mapping[str, Mapping]) -> None:
    if not (out / _ABOUT).is_file():
        others = sorted(place.name for place in out.iterdir() if not place.name.startswith("."))
        require(not others, f"The folder {out} holds {others and others[0]} and no family. Choose a new folder.")
        return
    try:
        before = _told(json.loads((out / _ABOUT).read_bytes()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SmallerError(f"{out / _ABOUT} is damaged. Remove the folder, or choose a new one.") from None
    asked = _told(about)
    unequal = [
        key if key.startswith("text of") else f"{key} ({before.get(key)} there, {asked.get(key)} here)"
        for key in {**asked, **before}
        if asked.get(key) != before.get(key)
    ]
    require(
        not unequal,
        f"The folder {out} holds another family: it differs in {', '.join(unequal)}. "
        "Choose a new folder, or the settings of that family.",
    )


def _told(about: Mapping[str, Mapping]) -> dict:
    """What decides a family, by what it is called."""
    return {**about["family"], **{f"text of {code}": value for code, value in about["corpus"].items()}}


def _kept_in(out: Path) -> contextlib.AbstractContextManager[None]:
    """Say in one sentence that something could not be written."""
    return told(f"The family could not be kept in {out}", "Free some space, and give the same command again.")


def card_of(about: Mapping, *, family: str) -> str:
    """The card of one size of the family of that name, in Markdown, from what its pretraining.json says."""
    after = about["held_out"]["after"]
    scores = {**after["languages"], "**all**": after["overall"]}
    numbers = {"count": "{:,.0f}".format, "one": "{:,.1f}".format}
    template = Path(__file__).with_name("card.md.j2")
    return filled(template, **about, **numbers, name=family, scores=scores, fixed=SETTINGS)
