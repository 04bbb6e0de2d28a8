"""The data sets of the study: what each holds, where it comes from, under which licence, and what its files are called.

A data set is described once, here. Its source is pinned to a commit, and `checksums.txt` has the SHA-256 of the
content of every file, uncompressed, in the format of `sha256sum`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from smaller.data.languages import MASAKHANER_LANGUAGES, language
from smaller.errors import SmallerError, did_you_mean
from smaller.paths import cache_folder

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the files of a language come from, and where they lie on disk.

    `path` is a file of the GitHub `repository` at `commit`; `layout` is the file below `SMALLER_DATA`. Both may hold
    `{language}` and `{split}`. A `converted` source has the columns of the Universal NER project (number, word, tag,
    and two more), of which the file on disk keeps the word and the tag. Without a repository nothing can be fetched.
    `splits` are those of a language that lacks some of its data set's. Where a file is a table, `columns` name those
    of the text and of its label.
    """

    layout: str
    repository: str = ""
    commit: str = ""
    path: str = ""
    converted: bool = False
    splits: tuple[str, ...] = ()
    columns: tuple[str, str] = ("text", "label")


@cache
def _published_checksums() -> dict[str, str]:
    lines = Path(__file__).with_name("checksums.txt").read_text(encoding="utf-8").splitlines()
    return {path: digest for digest, path in (line.split(maxsplit=1) for line in lines)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """A data set: `task` is one of `tasks.TASKS`, or "text" (unlabelled); `sources` go by language code.

    `tags` are what it labels: entity types, parts of speech, topics or sentiments. `checksums` go by the path that
    `file` gives.
    """

    name: str
    task: str
    sources: Mapping[str, Source]
    splits: tuple[str, ...] = SPLITS
    tags: tuple[str, ...] = ()
    licence: str
    non_commercial: bool
    citation: str
    url: str
    checksums: Mapping[str, str] = field(default_factory=_published_checksums, repr=False)

    @property
    def languages(self) -> tuple[str, ...]:
        """The codes of its languages."""
        return tuple(self.sources)

    def source(self, code: str) -> Source:
        """The source of a language; an unknown code is an error with a suggestion."""
        if not self.sources:
            raise SmallerError(f"The data set {self.name!r} has no files: it comes with the package.")
        if code not in self.sources:
            known = language(code)
            raise SmallerError(
                f"The data set {self.name!r} has no {known.name} ({code}). "
                f"Its languages are {', '.join(self.languages)}."
            )
        return self.sources[code]

    def file(self, code: str, split: str) -> str:
        """The path of a split below `SMALLER_DATA`, without `.gz`; a split that is not there is an error."""
        source = self.source(code)
        if split not in self.splits:
            raise SmallerError(
                f"The data set {self.name!r} has no split {split!r}. "
                f"Its splits are {', '.join(self.splits)}.{did_you_mean(split, self.splits)}"
            )
        if split not in self.splits_of(code):
            raise SmallerError(
                f"The data set {self.name!r} has no {split} split in {language(code).name} ({code}), only "
                f"{' and '.join(source.splits)}."
            )
        return source.layout.format(language=code, split=split)

    def splits_of(self, code: str) -> tuple[str, ...]:
        """The splits that a language has."""
        return self.source(code).splits or self.splits

    def files(self, code: str) -> dict[str, str]:
        """The path of every split of a language, as `file` gives it."""
        return {split: self.file(code, split) for split in self.splits_of(code)}


_MASAKHANER = {
    "repository": "masakhane-io/masakhane-ner",
    "commit": "ba5843cd08aa491d5f96a5e809e71eb9ec461391",
}
_MASAKHANER2_LANGUAGES = (
    *("bam", "bbj", "ewe", "fon", "hau", "ibo", "kin", "lug", "luo"),
    *("mos", "nya", "pcm", "swa", "tsn", "wol", "yor", "zul"),
)
_CORPUS_LANGUAGES = (
    *("amh", "hau", "ibo", "kin", "lug", "luo", "orm"),
    *("pcm", "run", "som", "swa", "tir", "wol", "yor"),
)
_UNIVERSAL_TAGS = tuple("ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X".split())
_SIB_FOLDERS = {
    "amh": "amh_Ethi", "bam": "bam_Latn", "eng": "eng_Latn", "fon": "fon_Latn", "hau": "hau_Latn", "ibo": "ibo_Latn",
    "kin": "kin_Latn", "lug": "lug_Latn", "luo": "luo_Latn", "mlt": "mlt_Latn", "orm": "gaz_Latn", "run": "run_Latn",
    "slk": "slk_Latn", "som": "som_Latn", "swa": "swh_Latn", "tir": "tir_Ethi", "wol": "wol_Latn", "yor": "yor_Latn",
    "zho": "zho_Hans",
}  # fmt: skip


def _treebank(name: str, repository: str, commit: str, splits: tuple[str, ...] = ()) -> Source:
    return Source(
        layout=f"ud/{name}/{{split}}.conllu",
        repository=f"UniversalDependencies/{repository}",
        commit=commit,
        path=f"{name}-ud-{{split}}.conllu",
        splits=splits,
    )


_TWEETS = Source(
    layout="afrisenti/{language}/{split}.tsv",
    repository="afrisenti-semeval/afrisent-semeval-2023",
    commit="5aec3cfcf87b59f885e98641f72e52182776429d",
    path="data/{language}/{split}.tsv",
    columns=("tweet", "label"),
)

_ALL = (
    Dataset(
        name="masakhaner",
        task="ner",
        tags=("PER", "ORG", "LOC", "DATE"),
        sources=dict.fromkeys(
            MASAKHANER_LANGUAGES,
            Source(layout="masakhaner/{language}/{split}.txt", path="data/{language}/{split}.txt", **_MASAKHANER),
        ),
        licence="CC BY-NC 4.0",
        non_commercial=True,
        citation="D. I. Adelani et al., MasakhaNER: Named Entity Recognition for African Languages, TACL 9, 2021, "
        "doi:10.1162/tacl_a_00416",
        url="https://github.com/masakhane-io/masakhane-ner",
    ),
    Dataset(
        name="masakhaner2",
        task="ner",
        tags=("PER", "ORG", "LOC", "DATE"),
        sources=dict.fromkeys(
            _MASAKHANER2_LANGUAGES,
            Source(
                layout="masakhaner2/{language}/{split}.txt",
                path="MasakhaNER2.0/data/{language}/{split}.txt",
                **_MASAKHANER,
            ),
        ),
        licence="CC BY-NC 4.0",
        non_commercial=True,
        citation="D. I. Adelani et al., MasakhaNER 2.0: Africa-centric Transfer Learning for Named Entity Recognition, "
        "EMNLP 2022, 2022.emnlp-main.298",
        url="https://github.com/masakhane-io/masakhane-ner/tree/main/MasakhaNER2.0",
    ),
    Dataset(
        name="uner",
        task="ner",
        tags=("PER", "ORG", "LOC"),
        sources={
            "zho": Source(
                layout="chinese_ner/{split}.txt",
                repository="UniversalNER/UNER_Chinese-GSDSIMP",
                commit="1f0307599dece7b83f4cba90ce9b63ef37a7b162",
                path="zh_gsdsimp-ud-{split}.iob2",
                converted=True,
            ),
            "slk": Source(
                layout="uner/slk/{split}.txt",
                repository="UniversalNER/UNER_Slovak-SNK",
                commit="886e7c6d7e066e23246af5070d115a036a465c6d",
                path="sk_snk-ud-{split}.iob2",
                converted=True,
            ),
        },
        licence="CC BY-SA 4.0",
        non_commercial=False,
        citation="S. Mayhew et al., Universal NER: A Gold-Standard Multilingual Named Entity Recognition Benchmark, "
        "NAACL 2024, 2024.naacl-long.243",
        url="https://www.universalner.org",
    ),
    Dataset(
        name="masakhapos",
        task="pos",
        tags=_UNIVERSAL_TAGS,
        sources=dict.fromkeys(
            ("bam", "fon", "hau", "ibo", "kin", "lug", "luo", "pcm", "swa", "wol", "yor"),
            Source(
                layout="masakhapos/{language}/{split}.txt",
                repository="masakhane-io/masakhane-pos",
                commit="a42273eb27d37f3dedfc3914bfccb88199e10454",
                path="data/{language}/{split}.txt",
            ),
        ),
        licence="CC BY-NC 4.0",
        non_commercial=True,
        citation="C. M. B. Dione et al., MasakhaPOS: Part-of-Speech Tagging for Typologically Diverse African "
        "Languages, ACL 2023, 2023.acl-long.609",
        url="https://github.com/masakhane-io/masakhane-pos",
    ),
    Dataset(
        name="ud",
        task="pos",
        tags=_UNIVERSAL_TAGS,
        sources={
            "mlt": _treebank("mt_mudt", "UD_Maltese-MUDT", "8330fc644d66"),
            "slk": _treebank("sk_snk", "UD_Slovak-SNK", "d1ab58f82750", ("dev", "test")),
            "wol": _treebank("wo_wtb", "UD_Wolof-WTB", "575a3ab64619"),
            "pcm": _treebank("pcm_nsc", "UD_Naija-NSC", "be1b5101e917", ("dev", "test")),
            "yor": _treebank("yo_ytb", "UD_Yoruba-YTB", "d07fe63b4051", ("test",)),
        },
        licence="CC BY-SA 4.0",
        non_commercial=False,
        citation="Universal Dependencies: S. Čéplö 2018 (Maltese MUDT); D. Zeman 2017 (Slovak SNK); C. B. Dione 2019 "
        "(Wolof WTB); B. Caron et al. 2019 (Naija NSC); Ọ. Ishola and D. Zeman 2020 (Yoruba YTB)",
        url="https://universaldependencies.org",
    ),
    Dataset(
        name="sib200",
        task="topics",
        tags=("science/technology", "travel", "politics", "sports", "health", "entertainment", "geography"),
        sources={
            code: Source(
                layout=f"sib200/{folder}/{{split}}.tsv",
                repository="dadelani/sib-200",
                commit="593cea88519930f776c1a4a1980b6a35b39dca57",
                path=f"data/annotated/{folder}/{{split}}.tsv",
                columns=("text", "category"),
            )
            for code, folder in _SIB_FOLDERS.items()
        },
        licence="CC BY-SA 4.0",
        non_commercial=False,
        citation="D. I. Adelani et al., SIB-200: A Simple, Inclusive, and Big Evaluation Dataset for Topic "
        "Classification in 200+ Languages and Dialects, EACL 2024, arXiv:2309.07445",
        url="https://github.com/dadelani/sib-200",
    ),
    Dataset(
        name="afrisenti",
        task="sentiment",
        tags=("positive", "neutral", "negative"),
        sources=dict.fromkeys(("amh", "hau", "ibo", "kin", "pcm", "swa", "yor"), _TWEETS)
        | dict.fromkeys(("orm", "tir"), replace(_TWEETS, splits=("dev", "test"))),
        licence="CC BY 4.0",
        non_commercial=False,
        citation="S. H. Muhammad et al., AfriSenti: A Twitter Sentiment Analysis Benchmark for African Languages, "
        "EMNLP 2023, arXiv:2302.08956",
        url="https://github.com/afrisenti-semeval/afrisent-semeval-2023",
    ),
    Dataset(
        name="corpus",
        task="text",
        sources=dict.fromkeys(_CORPUS_LANGUAGES, Source(layout="corpus/{language}.txt")),
        splits=("train",),
        licence="mixed, partly CC BY-NC 4.0; corpus/sources.tsv has the licence of every range of lines",
        non_commercial=True,
        citation="derived from many sources, named in corpus/sources.tsv",
        url="",
    ),
    Dataset(
        name="sample",
        task="ner",
        tags=("PER", "ORG", "LOC", "DATE"),
        sources={},
        licence="Apache-2.0, as the package",
        non_commercial=False,
        citation="written for this project, as a demonstration",
        url="",
    ),
    Dataset(
        name="sample-topics",
        task="topics",
        tags=("politics", "sports", "health", "business", "education"),
        sources={},
        licence="Apache-2.0, as the package",
        non_commercial=False,
        citation="written for this project, as a demonstration",
        url="",
    ),
)

DATASETS: dict[str, Dataset] = {known.name: known for known in _ALL}

OWN = "own-"
"""How the names of data sets begin that users brought themselves."""


def dataset(name: str) -> Dataset:
    """The data set of that name; an unknown name is an error with a suggestion."""
    if name.startswith(OWN):
        return _own(name)
    if name not in DATASETS:
        raise SmallerError(
            f"There is no data set {name!r}. Known are {', '.join(DATASETS)}.{did_you_mean(name, DATASETS)}"
        )
    return DATASETS[name]


@cache
def _own(name: str) -> Dataset:
    """A data set that `own.bring` put into the cache."""
    place = cache_folder() / "data" / name / "about.json"
    try:
        about = json.loads(place.read_bytes())
        layout = f"{name}/{{language}}/{{split}}.{about['ending']}"
        return Dataset(
            name=name,
            task=about["task"],
            tags=tuple(about["classes"]),
            sources={about["language"]: Source(layout=layout)},
            licence="that of its owner",
            non_commercial=False,
            citation="data of one's own",
            url="",
        )
    except (OSError, ValueError, KeyError) as problem:
        raise SmallerError(f"The data set {name!r} is not in the cache ({place}: {problem!r}). Bring the files in "
                           "again: run the command that named them.") from None  # fmt: skip
