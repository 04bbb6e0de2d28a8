"""The data sets that the study describes: what each holds, its source, licence, citation, and files."""

from __future__ import annotations

from dataclasses import replace

from smaller.data.descriptions import Dataset, Source
from smaller.data.languages import MASAKHANER_LANGUAGES

_MASAKHANER = {
    "repository": "masakhane-io/masakhane-ner",
    "commit": "ba5843cd08aa491d5f96a5e809e71eb9ec461391",
}
_MASAKHANER2_LANGUAGES = (
    *("bam", "bbj", "ewe", "fon", "hau", "ibo", "kin", "lug", "luo"),
    *("mos", "nya", "pcm", "sna", "swa", "tsn", "twi", "wol", "xho", "yor", "zul"),
)
_CORPUS_LANGUAGES = (
    *("amh", "hau", "ibo", "kin", "lug", "luo", "orm"),
    *("pcm", "run", "som", "swa", "tir", "wol", "yor"),
)
_UNIVERSAL_TAGS = tuple("ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X".split())
_SIB_FOLDERS = {
    "amh": "amh_Ethi",
    "bam": "bam_Latn",
    "eng": "eng_Latn",
    "fon": "fon_Latn",
    "hau": "hau_Latn",
    "ibo": "ibo_Latn",
    "kin": "kin_Latn",
    "lug": "lug_Latn",
    "luo": "luo_Latn",
    "mlt": "mlt_Latn",
    "orm": "gaz_Latn",
    "run": "run_Latn",
    "slk": "slk_Latn",
    "som": "som_Latn",
    "swa": "swh_Latn",
    "tir": "tir_Ethi",
    "wol": "wol_Latn",
    "yor": "yor_Latn",
    "zho": "zho_Hans",
}


def _treebank(name: str, repository: str, commit: str, splits: tuple[str, ...] = ()) -> Source:
    return Source(
        layout=f"ud/{name}/{{split}}.conllu",
        repository=f"UniversalDependencies/{repository}",
        commit=commit,
        path=f"{name}-ud-{{split}}.conllu",
        splits=splits,
    )


_WIKIANN_FOLDERS = {
    "amh": "am",
    "ibo": "ig",
    "kin": "rw",
    "mlt": "mt",
    "slk": "sk",
    "som": "so",
    "swa": "sw",
    "yor": "yo",
    "zho": "zh",
}
# Kinyarwanda and Kirundi stand in one mixture, "gahuza": either code reads it.
_AFRIBERTA_FOLDERS = {
    "amh": "amharic",
    "hau": "hausa",
    "ibo": "igbo",
    "kin": "gahuza",
    "orm": "afaanoromoo",
    "pcm": "pidgin",
    "run": "gahuza",
    "som": "somali",
    "swa": "swahili",
    "tir": "tigrinya",
    "yor": "yoruba",
}
_GLOTCC_FOLDERS = {
    "amh": "amh-Ethi",
    "hau": "hau-Latn",
    "ibo": "ibo-Latn",
    "kin": "kin-Latn",
    "lug": "lug-Latn",
    "luo": "luo-Latn",
    "mlt": "mlt-Latn",
    "orm": "gaz-Latn",
    "pcm": "pcm-Latn",
    "run": "run-Latn",
    "slk": "slk-Latn",
    "som": "som-Latn",
    "swa": "swh-Latn",
    "tir": "tir-Ethi",
    "wol": "wol-Latn",
    "yor": "yor-Latn",
}


def _wikiann(folder: str) -> Source:
    return Source(
        layout=f"wikiann/{folder}/{{split}}.parquet",
        hub=True,
        repository="unimelb-nlp/wikiann",
        commit="f89f2fe2694613baf6bb62e7393290846127adbf",
        path=f"{folder}/{{split}}/0000.parquet",
        names={"dev": "validation"},
        columns=("tokens", "ner_tags"),
    )


def _binary_sentiment(repository: str, *, commit: str = "main", commit_begins: str = "") -> Source:
    return Source(
        layout="sentiment/{language}/{split}.csv",
        hub=True,
        repository=f"DGurgurov/{repository}",
        commit=commit,
        commit_begins=commit_begins,
        path="{split}.csv",
        # Numbers as a copy of the Maltese data names them: 0 is negative, 1 is positive.
        labels={"0": "negative", "1": "positive", "Negative": "negative", "Positive": "positive"},
    )


def _afriberta_text(folder: str) -> Source:
    # The data set's own branch holds a script, which no loader runs any more: this is the hub's copy in Parquet.
    return Source(
        layout=f"afriberta-corpus/{folder}/{{split}}.parquet",
        hub=True,
        repository="castorini/afriberta-corpus",
        commit="refs/convert/parquet",
        commit_begins="d9b9950",
        path=f"{folder}/{{split}}/0000.parquet",
    )


def _glotcc(folder: str) -> Source:
    return Source(
        layout=f"glotcc/{folder}.parquet",
        hub=True,
        repository="cis-lmu/GlotCC-V1",
        commit="9aefe79b1f20f2e61b1349e0af1c0bcbc485f11e",
        path=f"v1.0/{folder}/{folder}_0.parquet",
        columns=("content", ""),
        # Of the largest language so many documents as the second paper read.
        rows=100_000 if folder == "slk-Latn" else 0,
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
        name="wikiann",
        task="ner",
        tags=("PER", "ORG", "LOC"),
        sources={code: _wikiann(folder) for code, folder in _WIKIANN_FOLDERS.items()},
        licence="unknown on the hub; the text is Wikipedia's, CC BY-SA",
        non_commercial=False,
        citation="X. Pan et al., Cross-lingual Name Tagging and Linking for 282 Languages, ACL 2017, P17-1178; splits "
        "of A. Rahimi et al., Massively Multilingual Transfer for NER, ACL 2019, P19-1015. Labels are machine-made",
        url="https://huggingface.co/datasets/unimelb-nlp/wikiann",
    ),
    Dataset(
        name="sentiment",
        task="sentiment",
        tags=("positive", "negative"),
        sources={
            "mlt": _binary_sentiment("maltese_sa", commit_begins="119f0f0"),
            "slk": _binary_sentiment("slovak_sa", commit="250a73199a3013bf9bf6b73b3fbdf83279b40375"),
            "swa": _binary_sentiment("swahili_sa", commit_begins="b9c6148"),
        },
        licence="MIT, as the hub says",
        non_commercial=False,
        citation="the sentiment data of arXiv:2505.16956, whose cards name their sources: for Slovak S. Pecar et al. "
        "2019, W19-3716, for Swahili arXiv:2304.06845",
        url="https://huggingface.co/DGurgurov",
    ),
    Dataset(
        name="afriberta-corpus",
        task="text",
        sources={code: _afriberta_text(folder) for code, folder in _AFRIBERTA_FOLDERS.items()},
        splits=("train",),
        licence="Apache-2.0, as the hub says",
        non_commercial=False,
        citation="K. Ogueji et al., Small Data? No Problem! Exploring the Viability of Pretrained Multilingual "
        "Language Models for Low-resourced Languages, MRL 2021, 2021.mrl-1.11",
        url="https://huggingface.co/datasets/castorini/afriberta-corpus",
    ),
    Dataset(
        name="glotcc",
        task="text",
        sources={code: _glotcc(folder) for code, folder in _GLOTCC_FOLDERS.items()},
        splits=("train",),
        licence="CC0-1.0 for the selection; the pages belong to their authors",
        non_commercial=False,
        citation="A. H. Kargaran et al., GlotCC: An Open Broad-Coverage CommonCrawl Corpus and Pipeline for Minority "
        "Languages, NeurIPS 2024, arXiv:2410.23825; of each language the first file alone",
        url="https://huggingface.co/datasets/cis-lmu/GlotCC-V1",
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
"""The data sets that are known by name."""
