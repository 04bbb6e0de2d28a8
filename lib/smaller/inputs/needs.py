"""What the notebooks of a profile read: encoders, and languages of data sets. Told from their parameters alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from smaller import encoders
from smaller.base import hub_client, settings
from smaller.base.errors import SmallerError, did_you_mean
from smaller.base.hub_client import Remote
from smaller.base.paths import notebooks_folder
from smaller.data import datasets, splits
from smaller.notebook.parameters import filled
from smaller.notebook.profiles import profile
from smaller.notebook.rules import data_set_and_language


@dataclass
class Needs:
    """Names of encoders, and of data sets with the codes of their languages, in the order in which they are met."""

    encoders: dict[str, None] = field(default_factory=dict)
    data: dict[str, dict[str, None]] = field(default_factory=dict)

    def add(self, dataset: str, language: str) -> None:
        """Note a language, or several with plus signs, of a data set that is not part of the package."""
        if dataset not in splits.EMBEDDED:
            self.data.setdefault(dataset, {}).update(dict.fromkeys(language.split("+")))

    def add_encoder(self, name: str) -> None:
        """Note an encoder; of one that is made from another, that one and the text that it is made with."""
        known, made_from = encoders.ENCODERS.get(name), None
        if known and known.made_from:
            from smaller.study import beginnings  # its steps bring PyTorch, and few encoders need them

            made_from = beginnings.recipe_of(name)
        if made_from is None:
            self.encoders[name] = None
            return
        self.add_encoder(made_from[0])
        for step in made_from[1]:
            for language in getattr(step, "languages", ()):
                self.add(step.corpus, language)


def named(names: Sequence[str], *, languages: Sequence[str] = ()) -> Needs:
    """The needs that somebody names: encoders, and data sets in these languages, or in all that they have.

    "masakhaner/swa" is a known data set in one language, as everywhere else.

    Raises SmallerError for a name that is neither, and for a language that none of the data sets has.
    """
    found = Needs()
    for name in names:
        if name in encoders.ENCODERS:
            found.add_encoder(name)
        elif (known := datasets.DATASETS.get(name.partition("/")[0])) and "/" in name:
            language = name.partition("/")[2]
            known.require(language)
            found.data.setdefault(known.name, {})[language] = None
        elif "/" in name and ":" not in name:
            # Both have such names: what the cache or the hub has under it decides.
            found.add_encoder(name) if _is_encoder(name) else found.data.setdefault(name, {})
        else:
            known = datasets.DATASETS.get(name)
            if known is None and "/" not in name:
                both = [*encoders.ENCODERS, *datasets.DATASETS]
                raise SmallerError(
                    f"There is no encoder and no data set {name!r}.{did_you_mean(name, both)} Encoders are "
                    f"{', '.join(encoders.ENCODERS)}; data sets are {', '.join(datasets.DATASETS)}; those of the hub "
                    "are owner/name and owner/name:config, with @revision behind them."
                )
            codes = [code for code in languages or known.languages if code in known.languages] if known else []
            if codes or known is None:
                found.data.setdefault(name, {}).update(dict.fromkeys(codes))
    described = [datasets.DATASETS[name] for name in names if name in datasets.DATASETS]
    for code in languages:
        if described and not any(code in known.languages for known in described):
            described[0].require(code)
    return found


def _is_encoder(name: str) -> bool:
    return encoders.is_here(name) or (not settings.offline() and hub_client.exists(Remote(name.partition("@")[0])))


def of_profile(name: str, *, only: Sequence[str] = (), into: Needs | None = None) -> Needs:
    """What the notebooks of a profile need, or some of them. Raises SmallerError for a profile that does not hold."""
    found = into or Needs()
    for path in sorted(notebooks_folder().glob("*.ipynb")):
        if not only or path.stem in only:
            given = filled(path, profile(name, path.stem), where=name)
            _add_notebook(found, given)
    return found


def _add_notebook(needs: Needs, given: Mapping[str, object]) -> None:
    for encoder in given["encoders"]:
        needs.add_encoder(encoder)
    for language in (*given["languages"], *given.get("sources", ())):
        for dataset in given["tasks"] if "tasks" in given else [given["dataset"]]:
            # A task stands for the languages that it has.
            if "tasks" not in given or "/" in dataset or splits.has_training(dataset, language):
                needs.add(dataset, language)
    for key in [*given.get("targets", ()), *given.get("texts", ())]:
        needs.add(*data_set_and_language(key))
    if "corpus" in given and not given.get("pretraining_lines"):
        corpus = given["corpus"]
        # Where lines of pre-training are counted, it is in all languages that the text has.
        all_of_it = datasets.dataset(corpus).languages if "pretraining_lines" in given else given["languages"]
        for language in given.get("corpus_languages", all_of_it):
            needs.add(corpus, language)
