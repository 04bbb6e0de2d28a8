"""What a page needs of a tokenizer: its vocabulary and the steps before it, as tokenizer.js reads them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import numpy as np
from tokenizers import Tokenizer

from smaller.base.errors import SmallerError

_NORMALIZERS = "Sequence NFC NFD NFKC NFKD Lowercase Strip Replace Prepend Precompiled".split()
_CUTTERS = "Sequence WhitespaceSplit Metaspace".split()


def state_of(tokenizer: Tokenizer) -> tuple[dict, np.ndarray]:
    """The tokenizer as plain values, and the score of each token. Raises SmallerError for a kind that no page reads."""
    found = json.loads(tokenizer.to_str())
    model = found["model"]
    if model["type"] != "Unigram" or model.get("byte_fallback"):
        kind = "Unigram with bytes" if model["type"] == "Unigram" else model["type"]
        raise SmallerError(
            f"A page reads tokenizers of the kind Unigram (XLM-R, AfriBERTa), and the model's is {kind}. Ship a model "
            "of such an encoder, or try this one with python -m smaller predict."
        )
    steps, cutters = found["normalizer"], found["pre_tokenizer"]
    other = [kind for kind in _kinds(steps, "normalizers") if kind not in _NORMALIZERS]
    other += [kind for kind in _kinds(cutters, "pretokenizers") if kind not in _CUTTERS]
    if steps and '"first"' in json.dumps(cutters):  # where a text begins is asked of it as it was before
        other.append("a mark on its first word alone")
    if other:
        raise SmallerError(f"The model's tokenizer prepares text by {', '.join(other)}, which no page does.")
    tokens, scores = zip(*model["vocab"], strict=True)
    before, after = _around(tokenizer)
    return {
        "tokens": tokens,
        "unknown": model["unk_id"],
        "normalizer": steps and _with_map(steps),
        "cutter": cutters,
        "added": found["added_tokens"],
        "before": before,
        "after": after,
    }, np.array(scores)


def _around(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """The ids that stand before and after a sentence."""
    encoding = tokenizer.encode("a")
    special = encoding.special_tokens_mask
    first, last = special.index(0), len(special) - special[::-1].index(0)
    return encoding.ids[:first], encoding.ids[last:]


def _kinds(step: dict | None, inner: str) -> Iterator[str]:
    if step:
        yield step["type"]
        for each in step.get(inner, ()):
            yield from _kinds(each, inner)


def _with_map(step: dict) -> dict:
    if step["type"] == "Sequence":
        return step | {"normalizers": [_with_map(each) for each in step["normalizers"]]}
    if step["type"] == "Precompiled":
        return {"type": "Precompiled", "map": charsmap(base64.b64decode(step["precompiled_charsmap"]))}
    return step


def charsmap(blob: bytes) -> dict[str, str]:
    """The entries of SentencePiece's precompiled table of characters, from the double array that it is written in."""
    size = int.from_bytes(blob[:4], "little")
    units = np.frombuffer(blob, "<u4", size // 4, 4).astype(np.int64)
    texts = blob[4 + size :]
    offsets = (units >> 10) << ((units & 512) >> 6)
    found = {}
    waiting = [(int(offsets[0]), b"")]
    labels = np.arange(1, 256)
    while waiting:
        node, key = waiting.pop()
        near = node ^ labels
        near = near[near < len(units)]
        for place in near[(units[near] & 0x800000FF) == (near ^ node)].tolist():
            own = key + bytes([place ^ node])
            after = place ^ int(offsets[place])
            if units[place] >> 8 & 1:
                start = int(units[after]) & 0x7FFFFFFF
                found[own.decode()] = texts[start : texts.index(b"\0", start)].decode()
            waiting.append((after, own))
    return found
