"""The command: python -m smaller {study,report,compress,ship,predict,demo,pretrain,check,fetch,bench,clean}."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence

from smaller.base import settings
from smaller.base.command import Command, Parser, count, rate, seed, value
from smaller.base.errors import SmallerError
from smaller.base.progress import duration
from smaller.deploy import targets


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code: 0 done, 1 something failed, 2 a mistake in what was asked."""
    for stream, errors in ((sys.stdout, "surrogateescape"), (sys.stderr, "backslashreplace")):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors=errors)  # names and letters of every language, in any locale
    try:
        options = _parser().parse_args(arguments)
        if settings.rehearsed_updates():
            raise SmallerError("SMALLER_REHEARSAL is for the processes of a rehearsal alone: unset it.")
        return options.run(options)
    except SmallerError as problem:
        print(f"smaller: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("smaller: stopped. Finished records are kept; the same command goes on from there.", file=sys.stderr)
        return 130
    except _NobodyReads:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains of what is left to write
        return 141  # what a shell gives for a program that ended because its pipe was closed


class _NobodyReads(BaseException):
    """Standard output is a pipe that was closed. Not an Exception: no part of a command goes on without it."""


def _say(line: object) -> None:
    """Print a line at once."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        raise _NobodyReads from None
    except OSError as problem:
        raise SmallerError(f"standard output cannot be written: {problem.strerror or problem}.") from None


def _say_all(lines: Iterable[object]) -> int:
    for line in lines:
        _say(line)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m smaller",
        description="A study of what happens when a small-data language model is made smaller.",
    )
    commands = parser.add_subparsers(required=True, metavar="command", parser_class=Command)

    def command(name: str, run: Callable[[argparse.Namespace], int], meaning: str) -> Callable:
        own = commands.add_parser(name, help=meaning)
        own.set_defaults(run=run)
        return own.add_argument

    add = command("study", _study, "run the notebooks of a profile and render the report")
    add("--profile", default="sample", help="sample (default, offline), mini, paper, or your own")
    add("--only", default="", help="notebooks to run, with commas: 01_baselines,02_pruning")
    add("--languages", default="", help="language codes instead of the profile's, with commas: swa,yor")
    add("--engine", default="", help="local (default), or ray: a cluster of machines")
    add("--address", default="", help="of a running Ray cluster: HOST:PORT, or auto for this machine's")
    add("--dry-run", action="store_true", help="check everything and say what would run")
    add("--anew", action="store_true", help="run notebooks again whose run would be made of the same as their last")
    add("--rehearse", action="store_true", help="two updates of each training: what takes long, what does not fit")
    add("--json", action="store_true", help="with --dry-run: the plan of each notebook as JSON")

    command("report", _report, "render the report again from the notebooks that were run")

    add = command("compress", _compress, "find and ship the best small model within limits that you set")
    add("encoder", help="an encoder by name, or a folder, also that of a fine-tuned model")
    add("data", help="a data set and language, such as masakhaner/swa, or your own CoNLL or TSV files")
    add("folder", help="where the model goes")
    add("--max-bytes", type=value(targets.parse_bytes), help="of the whole folder: 20MB")
    add(
        "--max-latency",
        type=value(targets.parse_milliseconds),
        help="for one sentence, text to labels, on one thread of this machine: 10ms",
    )
    add("--max-drop", type=value(targets.parse_points), help="points below the whole model on dev: 1.0")
    add("--task", default="", help="of your own files: ner (default), pos, topics or sentiment")
    add("--language", default="und", help="of your own files: lug, sw, zh-Hans")
    add("--form", default="", help="of the weights: onnx-int4 (default with --max-bytes), onnx-int8 (else), fp16 ...")
    add("--seed", type=seed, default=1, help="of all training")
    add(
        "--budget",
        type=value(targets.parse_duration),
        help="time for teaching all candidates (default: at most 30min); decides how many, for how many epochs",
    )
    for name, kind in TUNING.items():
        add(_option(name), type=kind, help="of fine-tuning")

    add = command("ship", _ship, "write the model of a finished recipe to a folder, with its card")
    add("recipe", help="the recipe's identity (column identity of the results), or its first digits")
    add("folder", help="where the model goes")
    add("--form", default="", help="quantize it first: fp16, bf16, dynamic, llm.int8, onnx-int8 ...")

    add = command("predict", _predict, "tag sentences, or label texts, with a shipped model")
    add("folder", help="a folder that `ship` wrote")
    add("sentences", nargs="*", help="sentences; without any they are read from standard input")
    add("--json", action="store_true", help="one JSON object for each sentence")
    add("--format", choices=("text", "conll", "json"), help="of standard input and of what is printed (default text)")

    add = command("demo", _demo, "write a page that runs a shipped model in any browser, offline")
    add("folder", help="a folder that `ship` wrote, in the format onnx-int8 or onnx-int4")
    add("page", help="where the page goes: page.html")
    add("--example", action="append", default=[], help="a sentence to try, once or more; else the card's")

    add = command("pretrain", _pretrain, "make a family of encoders from a folder of text")
    add("corpus", help="a folder with LANGUAGE.txt or .txt.gz, one sentence a line")
    add("out", help="where the encoders go: OUT/small, OUT/base, OUT/large")
    add("--sizes", default="small,base,large", help="which sizes, with commas")
    add("--languages", default="", help="only these files of the corpus, with commas")
    add("--licence", default="", help="the corpus's licence, for the cards")
    for name, (kind, meaning) in FAMILY.items():
        add(_option(name), type=kind, help=meaning)

    add = command("check", _check, "say of each requirement whether it is met, and what to do")
    add("--profile", default="", help="what this profile reads, too: encoders and data")

    add = command("fetch", _fetch, "bring data sets and encoders into the cache, with their checksums")
    add("names", nargs="*", help="data sets (masakhaner, owner/name:config) and encoders (mbert ...)")
    add("--profile", default="", help="all that this profile reads: mini, paper, or your own file")
    add("--languages", default="", help="of the data sets that are named, only these, with commas")
    add("--dry-run", action="store_true", help="say what would be fetched, its size and licence")

    add = command("bench", _bench, "measure speed and memory beside the plain way")
    add("--only", help="one section: finetune, distil, deploy, trim or overhead")
    add("--encoder", help="a named shape (no weights needed), or a folder")
    add("--updates", type=count, default=12, help="timed updates of each way (default 12)")

    command("clean", _clean, "remove the trained prefixes from the cache; records stay")
    return parser


TUNING = {"epochs": count, "learning_rate": rate, "batch_size": count}
FAMILY = {
    "width": (count, "of the hidden states"),
    "vocabulary": (count, "tokens of the tokenizer"),
    "updates": (count, "batches to train on"),
    "batch_size": (count, "lines in a batch"),
    "learning_rate": (rate, "its peak"),
    "seed": (seed, "of weights, batches and masks"),
}


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _given(options: argparse.Namespace, names: Iterable[str]) -> dict[str, object]:
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _languages(text: str) -> list[str]:
    from smaller.data.languages import language

    return [language(code).code for code in _listed(text)]


def _study(options: argparse.Namespace) -> int:
    settings.go_offline()  # nothing is downloaded in the middle of a run
    if options.json and not options.dry_run:
        raise SmallerError("--json is the plan of a dry run: add --dry-run.")
    if options.rehearse and (options.dry_run or options.engine or options.address):
        raise SmallerError("--rehearse is of this machine, and trains: leave out --dry-run, --engine and --address.")
    from smaller.notebook.profiles import asked
    from smaller.study.engines import require_engine

    # A mistake is told here, before anything is imported that takes long, and a kernel starts.
    require_engine(options.engine, address=options.address)
    overrides = {"languages": _languages(options.languages)} if options.languages else {}
    asked(options.profile, only=_listed(options.only), overrides=overrides)
    missing = [] if options.profile == "sample" or options.languages else _missing(options)
    remedy = f"make fetch PROFILE={options.profile} brings what is not here: {', '.join(missing)}"
    if missing:
        print(remedy, file=sys.stderr if options.json else sys.stdout, flush=True)
    if options.rehearse:
        from smaller.notebook.rehearsal import rehearse

        failed = rehearse(options.profile, only=_listed(options.only), overrides=overrides, say=_say)
        if failed:
            print(f"failed: {', '.join(failed)}; see outputs/rehearsal/notebooks", file=sys.stderr)
        return 1 if failed else 0
    from smaller.notebook.expense import together
    from smaller.report import run_all

    started = time.monotonic()
    runs = run_all(
        options.profile,
        only=_listed(options.only),
        overrides=overrides,
        dry_run=options.dry_run,
        anew=options.anew,
        environment=settings.with_engine(options.engine, options.address),
        progress=_say,
    )
    failed = [run for run in runs if run.status == "failed"]
    if options.json:
        _say(json.dumps([dataclasses.asdict(run) for run in runs], indent=1, ensure_ascii=False))
    elif options.dry_run:
        for run in runs:
            if run.status == "planned":
                _say(f"{run.name}: {run.plan or 'would run'}, with")
                _say("".join(f"  {name} = {value!r}\n" for name, value in run.parameters.items()).rstrip("\n"))
        _say_all(together(runs))
    elif not failed:
        _say(f"done in {duration(time.monotonic() - started)}")
    if failed and options.dry_run:
        told = [f"{run.name} could not be planned: {run.error}" for run in failed] + [remedy] * bool(missing)
        print("\n".join(told), file=sys.stderr)
    elif failed:
        print(f"failed: {', '.join(run.name for run in failed)}; see outputs/notebooks", file=sys.stderr)
    return 1 if failed else 0


def _missing(options: argparse.Namespace) -> list[str]:
    """What the notebooks read and is not here; each of them ends with an error where it asks for it."""
    from smaller.inputs import fetching, needs

    wanted = needs.of_profile(options.profile, only=_listed(options.only))
    return [part.name for part in fetching.plan(wanted, ask=False) if part.missing]


def _report(options: argparse.Namespace) -> int:
    from smaller.report import write_report

    return _say_all([write_report()])


def _compress(options: argparse.Namespace) -> int:
    from smaller.deploy.asking import require_asked

    limits = {name: getattr(options, name) for name in ("max_bytes", "max_latency", "max_drop")}
    targets.Target(**limits)  # an error where there is none
    asked = {"task": options.task, "language": options.language, "form": options.form}
    require_asked(options.encoder, options.data, options.folder, **asked)
    from smaller.deploy import compress_command  # imports PyTorch, which takes seconds

    more = limits | asked | _given(options, TUNING) | {"seed": options.seed, "budget": options.budget}
    found = compress_command(options.encoder, options.data, options.folder, say=_say, **more)
    return 1 if found.missed else 0


def _ship(options: argparse.Namespace) -> int:
    from smaller.deploy.asking import require_to_ship

    require_to_ship(options.recipe, options.folder, form=options.form)
    from smaller.deploy.recorded import ship_command

    return _say_all(ship_command(options.recipe, options.folder, form=options.form))


def _predict(options: argparse.Namespace) -> int:
    from smaller.base.paths import expanded
    from smaller.serving.folder import require_there
    from smaller.serving.reader import open_graph
    from smaller.serving.stream import predict

    if options.json and options.format:
        raise SmallerError("--json is of what is printed, --format also of what is read: give one of them.")
    form, given = ("json", "text") if options.json else (options.format or "text", "")
    told = {"stream": sys.stdin and sys.stdin.buffer, "form": form, "given": given}
    require_there(expanded(options.folder))
    if reader := open_graph(options.folder):
        return _say_all("\n".join(lines) for lines in predict(reader, options.sentences, **told))
    from smaller.encoders.served import require_shipped

    require_shipped(expanded(options.folder))
    from smaller.formats.shipping import predict_command

    return _say_all(predict_command(options.folder, options.sentences, **told))


def _demo(options: argparse.Namespace) -> int:
    from smaller.demo import demo

    place = demo(options.folder, options.page, examples=options.example)
    return _say_all([f"{place}: {place.stat().st_size / 1e6:,.2f} MB; open it in any browser"])


def _pretrain(options: argparse.Namespace) -> int:
    from pathlib import Path

    from smaller.pretrain import Family
    from smaller.pretrain.corpus import require_sizes, text_files

    family = Family(**_given(options, FAMILY), languages=tuple(_listed(options.languages)) or None)
    corpus, sizes = Path(options.corpus), require_sizes(_listed(options.sizes))
    text_files(corpus, family.languages)  # an error where there is nothing to read
    from smaller.pretrain import pretrain

    given = {"corpus": corpus, "out": Path(options.out), "sizes": sizes, "licence": options.licence}
    return _say_all(pretrain(family, **given, say=_say))


def _check(options: argparse.Namespace) -> int:
    from smaller.inputs.check import render, requirements

    rows = []
    _say_all(render(requirements(profile=options.profile), seen=rows))
    return 1 if any(row.ok is False for row in rows) else 0


def _fetch(options: argparse.Namespace) -> int:
    from smaller.inputs import fetching, needs

    wanted = needs.named(options.names, languages=_languages(options.languages))
    if options.profile:
        wanted = needs.of_profile(options.profile, into=wanted)
    if not options.names and not options.profile:
        raise SmallerError("Name data sets or encoders to fetch, or a profile: --profile paper.")
    _say_all(fetching.lines(fetching.plan(wanted, ask=not settings.offline())))
    if options.dry_run:
        return 0
    problems = fetching.fetch_all(wanted, say=_say)
    for problem in problems:
        print(f"smaller: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _bench(options: argparse.Namespace) -> int:
    from smaller.bench import bench

    return _say_all(bench(only=options.only, encoder=options.encoder, updates=options.updates))


def _clean(options: argparse.Namespace) -> int:
    from smaller.study import cache

    return _say_all([f"{cache.clean() / 1e6:,.0f} MB freed in {cache.folder()}"])


if __name__ == "__main__":
    sys.exit(main())
