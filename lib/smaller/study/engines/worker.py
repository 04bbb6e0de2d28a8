"""A worker process of a study: reads jobs from standard input, answers in lines of JSON on standard output."""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator
from typing import TextIO


def main() -> None:
    """Do jobs until the input ends. Whatever else is printed goes to standard error, so that answers stay readable."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the study too, which ends its workers
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    jobs = _jobs()

    import torch

    from smaller.base.errors import SmallerError
    from smaller.encoders.device import OutOfMemory, card_memory
    from smaller.study.engines.messages import job_from_message
    from smaller.study.jobs import execute

    for message in jobs:
        torch.set_num_threads(message.get("threads", torch.get_num_threads()))
        try:
            with card_memory(message["label"]):
                execute(
                    job_from_message(message),
                    listener=lambda recipe: _answer(answers, finished=recipe.identity),
                    say=lambda text: _answer(answers, said=text),
                )
        except SmallerError as problem:
            _answer(answers, error=str(problem), memory=isinstance(problem, OutOfMemory))
        except Exception as problem:
            _answer(answers, error=f"{message['label']}: {type(problem).__name__}: {problem}")
            raise
        else:
            _answer(answers, done=True)


def _jobs() -> Iterator[dict]:
    """Jobs as they come. When the input ends the study is gone, and this process ends in the middle of its work."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            lines.put(line)
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    return (json.loads(line) for line in iter(lines.get, None))


def _answer(stream: TextIO, **message: object) -> None:
    stream.write(json.dumps(message) + "\n")
    stream.flush()


if __name__ == "__main__":
    main()
