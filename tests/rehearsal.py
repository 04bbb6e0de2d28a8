"""The paper profile from `fetch` to the report, against a played hub: its own names, its own code, tiny contents.

    python tests/rehearsal.py [--folder F] [--only 07_extreme]

A hub and a git forge on loopback hold every encoder and data set that the profile names, laid out as the real ones are,
with a few rows and weights of a few kilobytes. `fetch --profile` brings them; then the hub is gone, the network is
forbidden, and the study runs with the profile's parameters, of which only amounts are smaller: seeds, passes, updates,
widths. It ends with a line of what passed, and with 1 unless every notebook is done.

The checksums of the real files are not those of tiny ones, so here, and only in the fetching process, none are known.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

STUDY = {"languages": ["amh", "swa"], "seeds": [1], "epochs": 1, "learning_rate": 1.0e-3}
SMALLER: dict[str, dict[str, object]] = {
    "01_baselines": {},
    "02_pruning": {
        "sparsities": [0.0, 0.5, 0.9],
        "random_sparsities": [0.5],
        "random_seeds": [1],
        "timed_sentences": 2,
    },
    "03_distillation": {
        "students": ["4x6", "4x4", "2x6"],
        "controls": ["4x6"],
        "variant_seeds": [1],
        "corpus_updates": 2,
        "corpus_batch_size": 4,
    },
    "04_quantization": {
        "forms": ["fp32", "fp16", "bf16", "dynamic", "llm.int8", "onnx", "onnx-int8", "onnx-int4"],
        "bits": [8, 2],
        "thresholds": [6.0, 2.0],
        "pruned_sparsities": [0.5],
        "variant_seeds": [1],
        "timed_sentences": 2,
        "timed_rounds": 2,
    },
    "05_transfer": {
        "sources": ["amh", "swa"],
        "targets": ["masakhaner2/bam", "masakhaner2/swa", "uner/slk", "uner/zho"],
        "sparsities": [0.0, 0.5, 0.9],
        "joint_seeds": [1],
        "joint_sparsities": [0.0, 0.9],
        "students": ["4x6"],
        "timed_sentences": 2,
    },
    "06_robustness": {
        "sparsities": [0.5],
        "students": ["4x6"],
        "vocabularies": [150, 100],
        "noise": {"dropped": [0.05, 0.15], "entities": [1.0]},
        "attack_budgets": [0.02],
        "attacked_sentences": 2,
        "targets": ["masakhaner2/bam", "uner/slk"],
        "texts": ["afrisenti/amh", "afrisenti/swa"],
        "text_sentences": 4,
    },
    "07_extreme": {
        "languages": ["mlt", "swa"],
        "tasks": dict.fromkeys(("sib200", "wikiann", "ud", "masakhapos", "sentiment"), 1),
        "text": dict(updates=2, batch_size=4, learning_rate=5.0e-5, max_length=64, rate=0.15, lines=0),
        "adaptation": {"batch_size": 32, "learning_rate": 1.0e-4},
        "shape": {"layers": 2, "feed_forward": 24, "hidden_size": 12, "width_by": "slice", "vocabulary": 150},
        "other_shapes": [],
        "orders": [["adapted", "fewer tokens"]],
        "teaching": {"epochs": 1, "transfer_lines": 6},
        "variants": ["kl", "projection"],
        "adapters": {"reductions": [4], "tasks": ["sib200"], "learning_rate": 1.0e-4},
        "few_seeds": {"variants": [1], "adapters": [1], "no teacher": [1]},
        # The last format closes every family: an export takes seconds, and 04 makes some.
        "techniques": {"prune": [0.5], "cut": [3], "distil": ["3x12"], "quantize": ["onnx-int8", "dynamic"]},
        "measuring": {"guessed_sentences": 3, "timed_sentences": 2, "timed_rounds": 2},
    },
    "08_summary": {},
}
"""What of each notebook's parameters is smaller; every other one is the profile's."""

ROWS = 24


def rehearsed() -> dict[str, dict[str, object]]:
    """The paper profile with smaller amounts."""
    profile = yaml.safe_load((ROOT / "notebooks" / "profiles" / "paper.yaml").read_text(encoding="utf-8"))
    sections = {name: dict(values) for name, values in profile.items()}
    for name, values in sections.items():
        if name != "study" and "languages" in values and "languages" not in SMALLER.get(name, {}):
            del values["languages"]
        values |= STUDY if name == "study" else SMALLER.get(name, {})
    sections["00_quickstart"] |= {"languages": ["swa"]}
    return sections


def repositories() -> list:
    """Every repository of the hub that the profile names, and two pinned commits that the builders have no data of."""
    import played_hub as played

    from smaller.data.datasets import DATASETS

    wikiann = played.wikiann(("mt", "sk", "sw"), ROWS)
    pinned = DATASETS["wikiann"].source("swa").commit
    wikiann.commits[pinned] = {
        f"{folder}/{split}/0000.parquet": played.parquet(
            played.tagged(f"{folder} {split}", ROWS, played.ENTITIES[:7]), {"ner_tags": played.ENTITIES[:7]}
        )
        for folder in ("mt", "sk", "sw")
        for split in ("train", "validation", "test")
    }
    wikiann.refs[played.PARQUET] = pinned
    slovak = played.sentiment("slovak", ROWS)
    slovak.commits[DATASETS["sentiment"].source("slk").commit] = slovak.files
    glotcc = [source.path.split("/")[1] for source in DATASETS["glotcc"].sources.values()]
    texts = {folder: played.sentences(folder, ROWS) for folder in played.CORPUS}
    return [
        *(played.afriberta(size) for size in ("small", "base", "large")),
        played.xlm_r(),
        played.mbert(),
        played.afriberta_corpus(ROWS, texts),
        played.glotcc(glotcc, ROWS),
        wikiann,
        slovak,
        played.sentiment("maltese", ROWS),
        played.sentiment("swahili", ROWS),
    ]


def forge() -> dict[str, bytes]:
    """Every file of the git forge that the profile names, in the form that its data set has."""
    from smaller.data.datasets import DATASETS

    return {
        f"{source.repository}/{source.commit}/{source.remote(code, split)}": _content(known, code, split)
        for known in DATASETS.values()
        for code, source in known.sources.items()
        if source.repository and not source.hub
        for split in known.splits_of(code)
    }


def _content(known, code: str, split: str) -> bytes:
    import played_hub as played

    source = known.source(code)
    if known.task in ("topics", "sentiment"):
        text, label = source.columns
        lines = played.sentences(f"{code} {split}", ROWS)
        rows = [(line, known.tags[number % len(known.tags)]) for number, line in enumerate(lines)]
        return "\n".join([f"{text}\t{label}", *("\t".join(row) for row in rows), ""]).encode()
    labels = known.tags if known.task == "pos" else ("O", *(f"{part}-{tag}" for tag in known.tags for part in "BI"))
    found = played.tagged(f"{code} {split}", ROWS, labels)
    sentences = [
        [(word, labels[number]) for word, number in zip(words, numbers, strict=True)]
        for words, numbers in zip(found["tokens"], found["ner_tags"], strict=True)
    ]
    if source.converted:
        rows = [[f"{place}\t{word}\t{tag}\t-\tme" for place, (word, tag) in enumerate(each, 1)] for each in sentences]
    elif source.path.endswith(".conllu"):
        rows = [
            [f"{place}\t{word}\t_\t{tag}" + "\t_" * 6 for place, (word, tag) in enumerate(each, 1)]
            for each in sentences
        ]
    else:
        rows = [[f"{word} {tag}" for word, tag in each] for each in sentences]
    return "\n\n".join("\n".join(each) for each in rows).encode() + b"\n"


def without_checksums(profile: Path) -> int:
    """`fetch --dry-run`, `fetch` and `check` of a profile, where no checksum of a real file is known."""
    import dataclasses

    from smaller.__main__ import main
    from smaller.data.datasets import DATASETS
    from smaller.encoders import ENCODERS

    for name, encoder in ENCODERS.items():
        ENCODERS[name] = dataclasses.replace(encoder, checksums={})
    for known in DATASETS.values():
        object.__setattr__(known, "checksums", {})
    named = ["--profile", str(profile)]
    return main(["fetch", *named, "--dry-run"]) or main(["fetch", *named]) or main(["check", *named])


def main() -> int:
    """Play the hub, fetch, and run the study without it; returns the number of what failed."""
    parser = argparse.ArgumentParser(description="Rehearse the paper profile against a played hub.")
    parser.add_argument("--folder", type=Path, default=None, help="where everything goes; a new one unless given")
    parser.add_argument("--only", default="", help="notebooks, with commas")
    parser.add_argument("--fetch", type=Path, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.fetch:
        return without_checksums(options.fetch)
    if options.folder:
        return rehearse(options.folder, options.only)
    with tempfile.TemporaryDirectory(prefix="rehearsal-") as folder:
        return rehearse(Path(folder), options.only)


def rehearse(folder: Path, only: str) -> int:
    """Everything, below a folder."""
    from played_hub import PlayedHub

    folder.mkdir(parents=True, exist_ok=True)
    profile = folder / "rehearsal.yaml"
    profile.write_text(yaml.safe_dump(rehearsed(), sort_keys=False), encoding="utf-8")
    own = {"SMALLER_CACHE": str(folder / "cache"), "SMALLER_OUTPUTS": str(folder / "outputs"), "PYTHONUNBUFFERED": "1"}
    started = time.monotonic()
    with PlayedHub(*repositories(), raw=forge()) as hub:
        environment = hub.environment(folder / "hub", **own)
        for name in ("SMALLER_DATA", "SMALLER_MODELS"):
            environment.pop(name, None)
        if subprocess.run([sys.executable, __file__, "--fetch", str(profile)], env=environment, cwd=ROOT).returncode:
            return _told(1, 0, "fetch or check failed")
        asked = len(hub.requests)
        offline = hub.environment(folder / "hub", offline=True, **own)
        for name in ("SMALLER_DATA", "SMALLER_MODELS"):
            offline.pop(name, None)
    fetched = time.monotonic() - started
    command = [sys.executable, "-m", "smaller", "study", "--profile", str(profile), *(["--only", only] if only else [])]
    subprocess.run(command, env=offline, cwd=ROOT)
    import nbformat

    done = {
        path.stem: nbformat.read(path, as_version=4).metadata["smaller"]["status"]
        for path in sorted((folder / "outputs" / "notebooks").glob("*.ipynb"))
    }
    wanted = only.split(",") if only else [path.stem for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    failed = [name for name in wanted if done.get(name) != "done"]
    if not (folder / "outputs" / "report" / "index.html").is_file():
        failed.append("the report")
    whole = f"{asked} requests and {fetched:.0f} s to fetch, {time.monotonic() - started:.0f} s in all"
    return _told(len(failed), len(wanted) - len(failed), f"failed: {', '.join(failed)}; {whole}" if failed else whole)


def _told(failed: int, passed: int, what: str) -> int:
    sys.stdout.write(f"rehearsal: {what}\nrehearsal: {passed} passed, {failed} failed\n")
    return 1 if failed else 0


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
