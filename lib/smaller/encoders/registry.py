"""The encoders that are known by name: where they lie, at which revision, under which licence, and their shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

UNKNOWN = "unknown"
"""A licence that nobody has seen."""


@dataclass(frozen=True)
class Encoder:
    """A named starting point: a repository on the model hub, or a shape that a `Pretrain` step fills with weights.

    `layers` is 0 where the shape is in the configuration alone, which is fetched when it is asked for. `begins` are the
    first digits of the commit that the revision is known to be at, `otherwise` is a revision that holds the same
    weights as a pickle, for the day on which the first is gone, and `checksums` are the SHA-256 of files. `size` is
    what a download takes in bytes, about, and 0 where nobody has looked. `config` is the file that a shape was read
    from. `made_from` names the encoder that this one is made from by the steps in `study.beginnings`; its repository
    holds that one's weights, and not its own.
    """

    name: str
    layers: int
    heads: int = 6
    hidden: int = 768
    feed_forward: int = 3072
    vocabulary: int = 70_006
    repository: str | None = None
    revision: str | None = None
    licence: str = "MIT"
    note: str = ""
    kind: str = "xlm-roberta"
    begins: str = ""
    otherwise: str = ""
    checksums: Mapping[str, str] = field(default_factory=dict, hash=False)
    size: int = 0
    config: Path | None = None
    made_from: str = ""

    @property
    def pretrained(self) -> bool:
        """Whether there are weights to load; the sample family has none before its `Pretrain` step."""
        return self.repository is not None


def _sample(size: str, layers: int) -> Encoder:
    note = "AfriBERTa's depth and heads, less than a tenth of its width, without weights before its Pretrain step"
    return Encoder(f"sample-{size}", layers, hidden=72, feed_forward=144, vocabulary=0, licence="Apache-2.0", note=note)


def _afriberta(
    size: str,
    layers: int,
    *,
    begins: str,
    megabytes: int,
    otherwise: str,
    pull: int = 1,
    licence: str = "none named on the hub (afriberta_large: MIT)",
    **checksums: str,
) -> Encoder:
    # `main` holds a pickle only. Safetensors stand in a pull request that was never merged, one for each size.
    files = {"safetensors": "model.safetensors", "pickle": "pytorch_model.bin"}
    return Encoder(
        f"afriberta-{size}",
        layers,
        repository=f"castorini/afriberta_{size}",
        revision=f"refs/pr/{pull}",
        begins=begins,
        otherwise=otherwise,
        checksums={files[kind]: digest for kind, digest in checksums.items()},
        licence=licence,
        size=megabytes * 1_000_000,
        note="11 African languages; safetensors from the hub's conversion, the pickle where they are gone",
    )


_MINILM = {"heads": 12, "hidden": 384, "feed_forward": 1536, "vocabulary": 250_037, "kind": "bert"}
"""The shape of Multilingual-MiniLM, and of e5-small, which was made from it."""

ENCODERS: dict[str, Encoder] = {
    encoder.name: encoder
    for encoder in (
        _sample("small", 4),
        _sample("base", 8),
        _sample("large", 10),
        _afriberta(
            "small",
            4,
            begins="c243ce7",
            megabytes=335,
            otherwise="51667384e9f1571857fbcb68490c10b3abe1f141",
            pickle="6c36356f7e34b57706c46e4fe5e8e013e91441990a7ec2eb046ff315bca05069",
        ),
        _afriberta(
            "base",
            8,
            begins="c408166",
            megabytes=448,
            otherwise="95b703f498c9cee56be5f5bbc5140022dc86099e",
            safetensors="f59dd71f32a9dee7ca27b8e43a2dcc614df7139095c3291326f66c4f696d7e23",
        ),
        _afriberta(
            "large",
            10,
            begins="3bb8fbb",
            megabytes=505,
            otherwise="main",
            pull=3,
            licence="MIT",
            pickle="0d0a3c04de0206b6ec857cb19f320eb1c8737c67c4b4cd5cb56fd7b64c5d277b",
        ),
        Encoder(
            "xlm-r-base",
            12,
            heads=12,
            vocabulary=250_002,
            repository="FacebookAI/xlm-roberta-base",
            revision="e73636d4f797dec63c3081bb6ed5c7b0bb3f2089",
            size=1_134_000_000,
            note="100 languages",
        ),
        Encoder(
            "mbert",
            12,
            heads=12,
            vocabulary=119_547,
            repository="google-bert/bert-base-multilingual-cased",
            revision="3f076fdb1ab68d5b2880cb87a0886f315b8146f8",
            licence="Apache-2.0",
            kind="bert",
            size=717_000_000,
            note="104 languages",
        ),
        Encoder(
            "e5-small",
            12,
            **_MINILM,
            repository="intfloat/multilingual-e5-small",
            revision="614241f622f53c4eeff9890bdc4f31cfecc418b3",
            size=493_000_000,
            note="MiniLM after contrastive training; published without a head for masked language",
        ),
        Encoder(
            "mini-e5",
            4,
            **_MINILM | {"vocabulary": 16_000},
            repository="intfloat/multilingual-e5-small",
            revision="614241f622f53c4eeff9890bdc4f31cfecc418b3",
            size=493_000_000,
            made_from="e5-small",
            note="a third of e5-small's layers and the tokens of AfriBERTa's languages, made on this machine",
        ),
        Encoder(
            "minilm",
            12,
            **_MINILM,
            repository="microsoft/Multilingual-MiniLM-L12-H384",
            revision="6e8c1ec6b4ec4e3fc6eb7d2cd834fcd582b61daf",
            size=476_000_000,
            note="distilled from XLM-R; weights in a pickle",
        ),
        Encoder(
            "afro-xlmr-mini",
            0,
            repository="Davlan/afro-xlmr-mini",
            revision="main",
            begins="bc04038",
            size=486_000_000,
            note="MiniLM adapted to African languages; shape and full commit were not looked up",
        ),
        Encoder(
            "afro-xlmr-small",
            0,
            repository="Davlan/afro-xlmr-small",
            revision="e0f81891720f28d7f427e9dc2ba548caefb14d91",
            size=565_000_000,
            note="XLM-R with fewer tokens, adapted to African languages; its shape was not looked up",
        ),
        Encoder(
            "afro-xlmr-base",
            0,
            repository="Davlan/afro-xlmr-base",
            revision="3da2872548c959379a8c799bf1a4a966ba391e07",
            size=1_124_000_000,
            note="XLM-R adapted to African languages; its shape was not looked up",
        ),
        Encoder(
            "glot500",
            0,
            repository="cis-lmu/glot500-base",
            revision="main",
            licence="Apache-2.0",
            note="XLM-R with more tokens for 500 languages; commit, vocabulary and size were not looked up",
        ),
        Encoder(
            "afriberta-v2-base",
            0,
            repository="castorini/afriberta_v2_base",
            revision="main",
            licence=UNKNOWN,
            note="commit, shape, size and licence were not looked up",
        ),
        Encoder(
            "afriberta-v2-large",
            10,
            vocabulary=150_002,
            repository="castorini/afriberta_v2_large",
            revision="main",
            licence=UNKNOWN,
            note="commit, size and licence were not looked up",
        ),
    )
}
"""Encoders that are known by name (paper 1, section 3; paper 2, section 3); a folder of the hub's layout serves too.

Of `castorini/afriberta_large`'s `main` no full commit is known, which is why its pickle is known by its checksum.
"""
