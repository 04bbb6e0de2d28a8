"""Write the layout in README.md anew: each room of the package with the first sentence of its own description.

python .ci/layout.py            writes README.md
python .ci/layout.py --check    ends with 1 where README.md says something else
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
START, END = "<!-- layout -->", "<!-- end of the layout -->"
AROUND = [
    ("notebooks/", "The study, in reading order; profiles/*.yaml say what differs from the notebooks' own parameters."),
    ("outputs/", "Results, figures, tables, notebooks and the report: all generated, except reference/."),
    ("tests/", "A file for each subject, named after the module or the room that it is of."),
    ("web/", "What `make test-web` installs, by a lock file, to run shipped models in transformers.js."),
]


def rooms() -> list[str]:
    """The rooms in order, from the list in `tests/test_project.py`: each imports only from those before it."""
    tree = ast.parse((ROOT / "tests" / "test_project.py").read_text(encoding="utf-8"))
    return next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "ROOMS"
    )


def first_line(room: str) -> str:
    """The first line of what a room says of itself."""
    folder = ROOT / "lib" / "smaller" / room
    file = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").splitlines()[0]


def layout() -> str:
    """The layout as the README shows it."""
    inner = [(f"  {room}{'/' if room != '__main__' else '.py'}", first_line(room)) for room in rooms()]
    lines = [
        AROUND[0],
        ("lib/smaller/", "Each room imports only from those above it; a test keeps it so."),
        *inner,
        *AROUND[1:],
    ]
    width = max(len(name) for name, _ in lines) + 2
    return "\n".join(["```", *(f"{name:{width}}{said}" for name, said in lines), "```"])


def renewed(readme: str) -> str:
    """The text of the README with the layout as it is now."""
    before, _, rest = readme.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n{layout()}\n{END}{after}"


if __name__ == "__main__":
    file = ROOT / "README.md"
    text = file.read_text(encoding="utf-8")
    if "--check" in sys.argv[1:]:
        sys.exit(renewed(text) != text)
    file.write_text(renewed(text), encoding="utf-8")
