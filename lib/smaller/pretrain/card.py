"""The card of a pre-trained encoder, in Markdown, from what its pretraining.json says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from smaller.study.steps.pretraining import SETTINGS

_LOADING = """\
```python
from transformers import AutoModelForMaskedLM, AutoTokenizer

model, tokenizer = (kind.from_pretrained("path/to/{size}") for kind in (AutoModelForMaskedLM, AutoTokenizer))
```

In the study, `start("path/to/{size}")` begins a recipe with it; so does `start("{family}/{size}")` where the folder
`{family}` lies under `SMALLER_MODELS`.
"""


def card(about: Mapping, *, family: str) -> str:
    """The card of one size of the family of that name."""
    return "\n".join(_lines(about, family)) + "\n"


def _lines(about: Mapping, family: str) -> Iterator[str]:
    size, shape, settings, training = (about[key] for key in ("size", "shape", "family", "training"))
    corpus, scores = about["corpus"], about["held_out"]
    yield from ("---", "library_name: transformers", "pipeline_tag: fill-mask", "license: other", "language:")
    yield from (f"- {json.dumps(code)}" for code in corpus)
    yield "---\n"
    yield f"# {family} {size}\n"
    yield (
        f"A masked-language model of {about['parameters']:,} parameters for {len(corpus)} language"
        f"{'s' * (len(corpus) != 1)}, trained from scratch with AfriBERTa's depth and heads: {shape['layers']} layers, "
        f"{shape['heads']} heads, hidden states of {shape['hidden']} numbers, feed-forward layers of "
        f"{shape['feed_forward']}, and a SentencePiece Unigram vocabulary of {shape['vocabulary']:,} pieces.\n"
    )
    yield "## Data\n"
    yield "| language | trained on | held out | repeated | too short | SHA-256 of the files |"
    yield "|---|---:|---:|---:|---:|---|"
    for code, row in corpus.items():
        counts = " | ".join(f"{row[key]:,}" for key in ("training", "held_out", "repeated", "short"))
        yield f"| {code} | {counts} | `{row['sha256'][:16]}` |"
    yield (
        f"\nCounts are lines. Those of fewer than {settings['least_words']} words were left out, unless a language has "
        f"no others. A language's share of the training goes by its lines to the power of {settings['smoothing']:g}.\n"
    )
    yield "## Training\n"
    yield (
        f"{training['updates']:,} updates of {settings['batch_size']} lines, languages mixed, cut at "
        f"{settings['max_length']} pieces: {training['pieces']:,} pieces in {training['seconds']:,.0f} s "
        f"({about['provenance']['device']}). {100 * settings['rate']:g} % of the pieces were to be guessed, of which "
        f"80 % were hidden and 10 % swapped. AdamW, learning rate {settings['learning_rate']:g} after a warm-up of a "
        f"tenth, then down to zero; weight decay {SETTINGS['weight_decay']:g}, dropout {SETTINGS['dropout']:g}, seed "
        f"{settings['seed']}." + " The first layers began turned towards neighbouring pieces." * settings["neighbours"]
    )
    yield f"The loss was {training['loss_first']:.2f} at first and {training['loss_last']:.2f} in the end.\n"
    yield "## Held-out text\n"
    yield "| language | labels | perplexity before | perplexity | accuracy, % |"
    yield "|---|---:|---:|---:|---:|"
    before, after = scores["before"], scores["after"]
    for code, row in {**after["languages"], "**all**": after["overall"]}.items():
        start = before["languages"].get(code, before["overall"])
        yield (
            f"| {code} | {row['labels']:,} | {start['perplexity']:,.1f} | {row['perplexity']:,.1f} | "
            f"{row['accuracy']:.1f} |"
        )
    yield (
        f"\nGuessing by the frequency of pieces alone has a perplexity of {scores['frequency_perplexity']:,.1f}. "
        "Perplexity is exp of the mean loss at 15 % of the pieces, the same ones always, of lines that were never "
        "trained on. It depends on the tokenizer: compare it within this family only.\n"
    )
    yield "## Licence of the corpus\n"
    yield (about["licence"] or "Not stated: the corpus folder has no LICENSE file, and no licence was given.") + "\n"
    yield "## Loading\n"
    yield _LOADING.format(size=size, family=family)
    yield "## Limits\n"
    yield f"- Positions beyond {settings['max_length']} pieces were never trained."
    yield "- Text is taken as it is written: there is no Unicode normalisation in the tokenizer."
    yield "- It knows what its text says, with that text's errors and opinions, and nothing was filtered."
    yield "- It is small and was trained briefly: meant for studies of compression, not for use as it is."
