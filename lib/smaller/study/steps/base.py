"""What every step is: a frozen dataclass with a canonical form and one method."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CodeType
from typing import Any, ClassVar

from smaller import formats
from smaller.base.checks import require, require_one_of
from smaller.base.errors import SmallerError
from smaller.base.progress import Say, silent
from smaller.data import splits
from smaller.encoders import Model, only_teaches

STEPS: dict[str, type[Step]] = {}


@dataclasses.dataclass(frozen=True)
class Step:
    """A transformation of a model. Its fields are all that decides its result: data set, language and seed included.

    A step knows nothing of the steps around it, and leaves the model that it is given unchanged. Weights come and go on
    any device; masks are on the processor. A subclass says how it is applied. Before, it is checked that the model's
    weights are in fp32 and that its head is the right one; after, the report gets the numbers of parameters.
    """

    trains: ClassVar[bool] = False
    """Whether the step is costly, so that its result is worth keeping and sharing between recipes."""

    technique: ClassVar[str] = ""
    """The word for what the step makes of a model, such as "pruned"; empty where it makes it no smaller."""

    needs_classifier: ClassVar[bool | None] = None
    """Whether the model that arrives has a classifier (True) or a head for masked language (False); None for either."""

    @property
    def takes_any_architecture(self) -> bool:
        """Whether the step needs no more of a model than what it says of words or texts."""
        return False

    def __new__(cls, *_: Any, **__: Any) -> Step:
        decorated = "__dataclass_fields__" in vars(cls)
        annotated = {} if decorated else inspect.get_annotations(cls)
        fields = [name for name, kind in annotated.items() if "ClassVar" not in str(kind)]
        require(
            not fields,
            f"{cls.__name__} has the fields {', '.join(fields)} and is no dataclass: write @dataclass(frozen=True) "
            "above its class.",
        )
        return super().__new__(cls)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        taken = STEPS.get(cls.__name__)
        if _is_ours(taken) and not _is_ours(cls):
            raise SmallerError(f"There is a step {cls.__name__} already, and records go by that name: choose another.")
        STEPS[cls.__name__] = cls
        if "apply" in vars(cls):
            cls.apply = _checked(cls.apply)

    def apply(self, model: Model, *, say: Say = silent, scratch: Path | None = None) -> tuple[Model, dict]:
        """A new model, and a report of plain values: what was touched, and what the step measured.

        `scratch` is a folder of this step alone that outlives a killed process; long training keeps checkpoints there.
        Raises SmallerError for a model that the step cannot take.
        """
        raise SmallerError(
            f"{type(self).__name__} does not say how it is applied: it needs a method "
            "apply(self, model, *, say=silent, scratch=None) that returns a new model and a report."
        )

    @property
    def label(self) -> str:
        """The step in a few words, with what is not the default; recipes are named by them."""
        return type(self).__name__

    def columns(self) -> dict[str, Any]:
        """What the step says of its recipe in the table: values for some of `results.COLUMNS`."""
        return {}

    def resize(self, shape: dict[str, int]) -> dict[str, int]:
        """What the step makes of a shape (see `encoders.shape`), told by its fields alone."""
        return shape

    def inputs(self) -> dict[str, str]:
        """Checksums of the data that the step reads, by name; a changed file makes old records stale.

        The data are those of the fields `dataset` and `language`, and of `corpus` and `languages`. A step from outside
        the package adds its own code: once that is edited, what it made is stale.
        """
        digest = _code_digest(type(self))
        code = {f"code/{type(self).__name__}": digest} if digest else {}
        dataset, language = getattr(self, "dataset", None), getattr(self, "language", None)
        labelled = {f"{dataset}/{language}": splits.fingerprint(dataset, language)} if dataset and language else {}
        return code | labelled | text_inputs(getattr(self, "corpus", None), getattr(self, "languages", None))

    def canonical(self) -> dict[str, Any]:
        """The step as plain JSON values; equal steps have equal forms."""
        fields = dataclasses.fields(self)
        values = {field.name: getattr(self, field.name) for field in fields}  # plain, so that no copy is needed
        unused = [field.name for field in fields if field.metadata.get("later") and values[field.name] == field.default]
        return {"step": type(self).__name__} | {name: value for name, value in values.items() if name not in unused}


def _is_ours(kind: type | None) -> bool:
    """Whether a step is one of the package's, whose code changes with its version."""
    return kind is not None and kind.__module__.startswith("smaller.")


def _code_digest(kind: type) -> str:
    """A checksum of what the methods do that a class has from outside the package; empty where there are none.

    It is the same in the processes that the class is sent to. What methods call in other modules is not in it, nor what
    they say in docstrings and comments.
    """
    found = [
        item for owner in kind.__mro__ if owner is not object and not _is_ours(owner) for item in vars(owner).items()
    ]
    digest = hashlib.sha256()

    def add(code: CodeType, doc: str | None) -> None:
        digest.update(code.co_code + repr(code.co_names).encode())
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                add(constant, None)
            elif constant != doc or doc is None:
                # A set has another order in each process.
                plain = sorted(map(repr, constant)) if isinstance(constant, frozenset) else constant
                digest.update(repr(plain).encode())

    read = 0
    for name, value in sorted(found, key=lambda item: item[0]):
        method = inspect.unwrap(value.fget if isinstance(value, property) else getattr(value, "__func__", value))
        own = name == "__post_init__" or not name.startswith("__")  # dataclasses write the others
        if own and inspect.isfunction(method):
            digest.update(name.encode())
            read += 1
            add(method.__code__, method.__doc__)
    return f"sha256:{digest.hexdigest()[:32]}" if read else ""


def _checked(apply: Callable) -> Callable:
    """A step's `apply` with what every step checks before and reports after."""

    @functools.wraps(apply)
    def checked(step: Step, model: Model, **options: Any) -> tuple[Model, dict]:
        name, before = type(step).__name__, formats.parameter_count(model.network)
        formats.require_trainable(model, what=name)
        require(
            step.takes_any_architecture or not only_teaches(model),
            f"{name} does not know the layers of a {model.network.config.model_type}: it can be fine-tuned, and teach "
            "a student that is drawn at random and has tokens of its own (Distil with start='random', and a coverage).",
        )
        if step.needs_classifier is not None:
            kinds = ("a masked-language model", "a model with a classifier")
            wanted, other = kinds[step.needs_classifier], kinds[not step.needs_classifier]
            place = "after" if step.needs_classifier else "before"
            require(
                bool(model.labels) == step.needs_classifier,
                f"{name} needs {wanted}, and {other} arrives: put the step {place} FineTune.",
            )
        answer = apply(step, model, **options)
        parts = answer if isinstance(answer, tuple) else (answer,)
        require(
            len(parts) == 2 and isinstance(parts[1], dict),
            f"{name}.apply has to return a new model and a report, such as {{'touched': [...]}}, and empty where there "
            f"is nothing to say; it returned {' and '.join(type(part).__name__ for part in parts)}.",
        )
        made, report = parts
        after = formats.parameter_count(made.network)
        return made, report | {"parameters_before": before, "parameters_after": after}

    return checked


def text_inputs(corpus: str | None, languages: Sequence[str] | None) -> dict[str, str]:
    """The checksum of each language's text, by name; empty without a corpus."""
    return {
        f"{corpus}/{language}/text": splits.text_fingerprint(corpus, language)
        for language in (languages or () if corpus else ())
    }


def later(default: Any) -> Any:
    """The default of a field that a step gained when there were records of it already.

    At its default such a field is left out of the canonical form, so that identities, and the records, stay.
    """
    return dataclasses.field(default=default, metadata={"later": True})


def step_from_canonical(form: dict[str, Any]) -> Step:
    """The step that a canonical form describes. Unknown steps and fields are errors with a suggestion."""
    fields = dict(form)
    name = fields.pop("step", None)
    require_one_of(name, STEPS, "There is no step {!r}; there are {}.")
    declared = dataclasses.fields(STEPS[name])
    known = [field.name for field in declared]
    for field in fields:
        require_one_of(field, known, f"{name} has no parameter {{!r}}; it has {{}}.")
    for field in declared:
        given = field.default is not dataclasses.MISSING or field.name in fields
        require(given, f"{name} needs a value for {field.name}.")
    return STEPS[name](**{key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()})
