"""A worker process of a study: reads jobs from standard input, answers in lines of JSON on standard output."""

from __future__ import annotations

import json
import os
import sys
from typing import TextIO


def main() -> None:
    """Do jobs until the input ends. Whatever else is printed goes to standard error, so that answers stay readable."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    import torch

    from smaller.study import execute, job_from_message

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    for line in sys.stdin:
        job = job_from_message(json.loads(line))
        try:
            execute(
                job,
                listener=lambda recipe: _answer(answers, finished=recipe.label),
                say=lambda text: _answer(answers, said=text),
            )
        except Exception as problem:
            from smaller.errors import SmallerError

            known = isinstance(problem, SmallerError)
            _answer(answers, error=str(problem) if known else f"{job.prefix}: {type(problem).__name__}: {problem}")
            if not known:
                raise
        else:
            _answer(answers, done=True)


def _answer(stream: TextIO, **message: object) -> None:
    stream.write(json.dumps(message) + "\n")
    stream.flush()


if __name__ == "__main__":
    main()
