"""The languages of the study: what they are called, where they belong, and whether AfriBERTa has seen them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from smaller.errors import SmallerError


@dataclass(frozen=True, kw_only=True)
class Language:
    """A language by its ISO 639-3 code.

    `afriberta` says whether its text was among the eleven languages that AfriBERTa was pre-trained on
    (Ogueji et al. 2021, *Small Data? No Problem!*, table 1).
    """

    code: str
    name: str
    family: str
    script: str = "Latin"
    afriberta: bool = False
    note: str = ""


_ALL = (
    Language(code="amh", name="Amharic", family="Afro-Asiatic, Semitic", script="Ethiopic", afriberta=True),
    Language(code="bam", name="Bambara", family="Mande"),
    Language(code="bbj", name="Ghomala", family="Niger-Congo, Grassfields", note="Ghomálá' in its own spelling"),
    Language(code="eng", name="English", family="Indo-European, Germanic"),
    Language(code="ewe", name="Ewe", family="Niger-Congo, Gbe"),
    Language(code="fon", name="Fon", family="Niger-Congo, Gbe"),
    Language(code="hau", name="Hausa", family="Afro-Asiatic, Chadic", afriberta=True),
    Language(code="ibo", name="Igbo", family="Niger-Congo, Volta-Niger", afriberta=True),
    Language(
        code="kin",
        name="Kinyarwanda",
        family="Niger-Congo, Bantu",
        afriberta=True,
        note="seen only inside 'gahuza', a mixture of Kinyarwanda and Kirundi",
    ),
    Language(code="lug", name="Luganda", family="Niger-Congo, Bantu"),
    Language(code="luo", name="Luo", family="Nilo-Saharan, Nilotic", note="Dholuo"),
    Language(code="mlt", name="Maltese", family="Afro-Asiatic, Semitic"),
    Language(code="mos", name="Mossi", family="Niger-Congo, Gur", note="Mooré"),
    Language(code="nya", name="Chichewa", family="Niger-Congo, Bantu", note="Nyanja"),
    Language(
        code="orm",
        name="Oromo",
        family="Afro-Asiatic, Cushitic",
        afriberta=True,
        note="gaz_Latn (West Central Oromo) in SIB-200",
    ),
    Language(code="pcm", name="Nigerian Pidgin", family="English creole", afriberta=True),
    Language(
        code="run",
        name="Kirundi",
        family="Niger-Congo, Bantu",
        afriberta=True,
        note="seen only inside 'gahuza', a mixture of Kinyarwanda and Kirundi",
    ),
    Language(code="slk", name="Slovak", family="Indo-European, Slavic"),
    Language(code="som", name="Somali", family="Afro-Asiatic, Cushitic", afriberta=True),
    Language(code="swa", name="Swahili", family="Niger-Congo, Bantu", afriberta=True, note="swh_Latn in SIB-200"),
    Language(code="tir", name="Tigrinya", family="Afro-Asiatic, Semitic", script="Ethiopic", afriberta=True),
    Language(code="tsn", name="Setswana", family="Niger-Congo, Bantu"),
    Language(code="und", name="a language that is not named", family="unknown", note="for data of one's own"),
    Language(code="wol", name="Wolof", family="Niger-Congo, Senegambian"),
    Language(code="yor", name="Yoruba", family="Niger-Congo, Volta-Niger", afriberta=True),
    Language(code="zho", name="Chinese", family="Sino-Tibetan, Sinitic", script="Han", note="simplified characters"),
    Language(code="zul", name="Zulu", family="Niger-Congo, Bantu"),
)

LANGUAGES: dict[str, Language] = {known.code: known for known in _ALL}

MASAKHANER_LANGUAGES = ("amh", "hau", "ibo", "kin", "lug", "luo", "pcm", "swa", "wol", "yor")
"""The ten languages of MasakhaNER 1.0."""


def language(code: str) -> Language:
    """The language of an ISO 639-3 code; anything else is an error that suggests the nearest code or name."""
    if code in LANGUAGES:
        return LANGUAGES[code]
    codes = {spelling: known for known in _ALL for spelling in (known.code, known.name.lower())}
    near = difflib.get_close_matches(str(code).lower(), codes, n=1, cutoff=0.5)
    suggestion = f" Did you mean {codes[near[0]].code!r} ({codes[near[0]].name})?" if near else ""
    raise SmallerError(f"There is no language {code!r} in this study; languages are ISO 639-3 codes.{suggestion}")
