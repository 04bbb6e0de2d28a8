"""Languages: any of ISO 639-3 by its name; those of the study with their family and script."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable
from dataclasses import dataclass

from smaller.base.errors import SmallerError


@dataclass(frozen=True, kw_only=True)
class Language:
    """A language by its ISO 639-3 code."""

    code: str
    name: str
    family: str
    script: str = "Latin"


_ALL = (
    Language(code="amh", name="Amharic", family="Afro-Asiatic, Semitic", script="Ethiopic"),
    Language(code="bam", name="Bambara", family="Mande"),
    Language(code="bbj", name="Ghomala", family="Niger-Congo, Grassfields"),
    Language(code="eng", name="English", family="Indo-European, Germanic"),
    Language(code="ewe", name="Ewe", family="Niger-Congo, Gbe"),
    Language(code="fon", name="Fon", family="Niger-Congo, Gbe"),
    Language(code="hau", name="Hausa", family="Afro-Asiatic, Chadic"),
    Language(code="ibo", name="Igbo", family="Niger-Congo, Volta-Niger"),
    Language(code="kin", name="Kinyarwanda", family="Niger-Congo, Bantu"),
    Language(code="lug", name="Luganda", family="Niger-Congo, Bantu"),
    Language(code="luo", name="Luo", family="Nilo-Saharan, Nilotic"),
    Language(code="mlt", name="Maltese", family="Afro-Asiatic, Semitic"),
    Language(code="mos", name="Mossi", family="Niger-Congo, Gur"),
    Language(code="nya", name="Chichewa", family="Niger-Congo, Bantu"),
    Language(code="orm", name="Oromo", family="Afro-Asiatic, Cushitic"),
    Language(code="pcm", name="Nigerian Pidgin", family="English creole"),
    Language(code="run", name="Kirundi", family="Niger-Congo, Bantu"),
    Language(code="slk", name="Slovak", family="Indo-European, Slavic"),
    Language(code="sna", name="Shona", family="Niger-Congo, Bantu"),
    Language(code="som", name="Somali", family="Afro-Asiatic, Cushitic"),
    Language(code="swa", name="Swahili", family="Niger-Congo, Bantu"),
    Language(code="tir", name="Tigrinya", family="Afro-Asiatic, Semitic", script="Ethiopic"),
    Language(code="tsn", name="Setswana", family="Niger-Congo, Bantu"),
    Language(code="twi", name="Twi", family="Niger-Congo, Kwa"),
    Language(code="und", name="a language that is not named", family="unknown"),
    Language(code="wol", name="Wolof", family="Niger-Congo, Senegambian"),
    Language(code="xho", name="Xhosa", family="Niger-Congo, Bantu"),
    Language(code="yor", name="Yoruba", family="Niger-Congo, Volta-Niger"),
    Language(code="zho", name="Chinese", family="Sino-Tibetan, Sinitic", script="Han"),
    Language(code="zul", name="Zulu", family="Niger-Congo, Bantu"),
)

LANGUAGES: dict[str, Language] = {known.code: known for known in _ALL}


def name_of(code: str) -> str:
    """The name of a language of the study; of any other its code; of some together (swa+yor) all their names."""
    return " + ".join(LANGUAGES[one].name if one in LANGUAGES else one for one in code.split("+"))


def names_of(codes: Iterable[str]) -> str:
    """Language codes as names with codes: "Swahili (swa), Hausa (hau)"."""
    return ", ".join(f"{name_of(code)} ({code})" for code in codes)


@functools.cache
def language(code: str) -> Language:
    """The language of an ISO 639-3 code or a BCP 47 tag ("swa", "sw", "zh-Hans"), by the name that it has there.

    Its own code is the ISO 639-3 one, with script or region behind it where the tag has them: "sw" is "swa". Anything
    else is an error that suggests the nearest code or name of the study.
    """
    if code in LANGUAGES:
        return LANGUAGES[code]
    import langcodes

    try:
        # As it was given, since what is preferred is at times another one: Filipino for Tagalog.
        found, preferred = langcodes.Language.get(code, normalize=False), langcodes.Language.get(code)
        own = found.to_alpha3()
        named = found if found.is_valid() else preferred
        if not named.is_valid() or named.language_name().startswith("Unknown language"):
            raise LookupError
    except (LookupError, ValueError, AttributeError, TypeError):
        raise SmallerError(
            f"There is no language {code!r}: a language is an ISO 639-3 code or a BCP 47 tag, such as swa, sw or "
            f"zh-Hans; data that do not say it have und.{_suggestion(code)}"
        ) from None
    whole = "-".join([own, *found.to_tag().split("-")[1:]])
    if whole in LANGUAGES:
        return LANGUAGES[whole]
    script = preferred.maximize().script
    return Language(
        code=whole,
        name=named.display_name(),
        family=LANGUAGES[own].family if own in LANGUAGES else "unknown",
        script=_SCRIPTS.get(script) or langcodes.Language.make(script=script).script_name() if script else "unknown",
    )


def in_codes(languages: str) -> str:
    """Languages as keys, records and steps name them: "sw+ha" is "swa+hau". What is no language stays as it is."""
    return "+".join(dict.fromkeys(_in_code(code) for code in str(languages).split("+")))


def _in_code(code: str) -> str:
    try:
        return language(code).code
    except SmallerError:
        return code


def _suggestion(code: str) -> str:
    codes = {spelling: known for known in _ALL for spelling in (known.code, known.name.lower())}
    near = difflib.get_close_matches(str(code).lower(), codes, n=1, cutoff=0.5)
    return f" Did you mean {codes[near[0]].code!r} ({codes[near[0]].name})?" if near else ""


_SCRIPTS = {"Hani": "Han", "Hans": "Han", "Hant": "Han"}
"""Scripts that the study calls otherwise."""
