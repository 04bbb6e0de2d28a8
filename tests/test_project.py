"""The rules of the house that a machine can check: directions, notebooks, lock, commands, and what git ignores."""

from __future__ import annotations

import ast
import graphlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import statistics
import subprocess
import sys
import tomllib
import types
from collections.abc import Iterable, Iterator
from pathlib import Path

import nbformat
import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "lib" / "smaller"
SOURCES = sorted(LIBRARY.rglob("*.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

# Each room imports only from those above it. A package is one room; its modules may use each other, without a cycle.
ROOMS = [
    "base",
    "data",
    "serving",
    "encoders",
    "prediction",
    "formats",
    "demo",
    "study",
    "analysis",
    "notebook",
    "report",
    "inputs",
    "deploy",
    "pretrain",
    "bench",
    "__main__",
]
FLOORS = 10


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(ROOT / "lib").with_suffix("").parts).removesuffix(".__init__")


def imports(tree: ast.AST, *, module: str) -> Iterator[str]:
    """The modules of this library that a file imports anywhere, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.split(".")[0] == "smaller")
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}, line {node.lineno}: a relative import; write it in full"
            source = node.module or ""
            if source.split(".")[0] == "smaller":
                # `from smaller.data import readers` names a module, `from smaller.base.paths import x` a thing in one.
                names = [f"{source}.{name.name}" for name in node.names]
                yield from (name if name.count(".") == 1 or is_module(name) else source for name in names)


def is_module(name: str) -> bool:
    path = ROOT.joinpath("lib", *name.split("."))
    return path.with_suffix(".py").exists() or path.is_dir()


def wrong_directions(tree: ast.AST, *, module: str) -> list[str]:
    room = module.split(".")[1]
    rank = ROOMS.index(room)
    targets = set(imports(tree, module=module)) - {"smaller", "smaller.__version__"}
    rooms = [(target, target.split(".")[1]) for target in sorted(targets)]
    return [f"{module} imports {target}" for target, other in rooms if other != room and ROOMS.index(other) > rank]


def test_each_room_imports_only_from_those_above_it() -> None:
    modules = {module_name(file): file for file in SOURCES if module_name(file) != "smaller"}
    unplaced = sorted({name for name in modules if name.split(".")[1] not in ROOMS})
    assert not unplaced, f"enter these in the list of rooms: {unplaced}"
    found = [
        line
        for name, file in modules.items()
        for line in wrong_directions(ast.parse(file.read_text(encoding="utf-8")), module=name)
    ]
    assert not found, found


def test_wrong_direction_is_seen_inside_a_function_too() -> None:
    tree = ast.parse("from smaller.base.paths import x\ndef f():\n  from smaller import study\n  import smaller.report")
    assert wrong_directions(tree, module="smaller.report") == []
    assert wrong_directions(tree, module="smaller.encoders.hub") == [
        "smaller.encoders.hub imports smaller.report",
        "smaller.encoders.hub imports smaller.study",
    ]


def test_modules_import_each_other_without_a_cycle() -> None:
    graph = {}
    for file in SOURCES:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        graph[module_name(file)] = set(imports(tree, module=module_name(file))) - {module_name(file), "smaller"}
    order = list(graphlib.TopologicalSorter(graph).static_order())
    assert set(graph) <= set(order)


def test_the_house_has_few_floors() -> None:
    """How many rooms stand on each other at most."""
    below: dict[str, set[str]] = {room: set() for room in ROOMS}
    for file in SOURCES:
        if (name := module_name(file)) != "smaller":
            used = imports(ast.parse(file.read_text(encoding="utf-8")), module=name)
            below[name.split(".")[1]] |= {target.split(".")[1] for target in used if target.count(".")}
    floors: dict[str, int] = {}
    for room in ROOMS:
        floors[room] = 1 + max((floors[other] for other in below[room] - {room, "__version__"}), default=0)
    assert floors["base"] == 1 and floors["study"] > floors["data"]
    assert max(floors.values()) <= FLOORS, floors


@pytest.mark.parametrize("room", ROOMS)
def test_each_room_says_in_three_lines_what_is_in_it(room: str) -> None:
    place = LIBRARY / room
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    said = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    lines = [line for line in said.partition("\n\nFor example")[0].splitlines() if line]
    assert 1 <= len(lines) <= 4 and lines[0].endswith("."), said


def test_no_file_is_long() -> None:
    lengths = {module_name(file): len(file.read_text(encoding="utf-8").splitlines()) for file in SOURCES}
    assert {name: length for name, length in lengths.items() if length > 400} == {}
    assert statistics.median(lengths.values()) <= 130


def test_the_readmes_layout_is_what_the_rooms_say_of_themselves() -> None:
    script = ci_script("layout")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert script.START in readme and script.END in readme
    assert script.renewed(readme) == readme, "make layout"


def test_the_tour_of_the_house_names_places_that_are_there() -> None:
    tour = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## A tour")[2].partition("\n## ")[0]
    places = [row.split("|")[2].strip(" `") for row in tour.splitlines() if re.match(r"\| \d+ \|", row)]
    assert 1 < len(places) <= 12
    for place in [*places, *re.findall(r"`([\w/]+/[\w.]*)`", tour.partition("| ---")[2])]:
        assert (ROOT / place).exists() or (LIBRARY / place).exists(), place


def test_the_package_itself_loads_nothing_heavy() -> None:
    code = "import sys, smaller; print(*{name.split('.')[0] for name in sys.modules} & {'torch', 'numpy', 'pandas'})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""


# Calls that change the random state of the whole process; `torch.manual_seed` may stand inside `fork_rng`.
GLOBAL_SEEDS = {
    "torch.manual_seed",
    "torch.random.manual_seed",
    "torch.cuda.manual_seed",
    "torch.cuda.manual_seed_all",
    "np.random.seed",
    "numpy.random.seed",
    "random.seed",
    "transformers.set_seed",
    "set_seed",
}


def global_seeds(tree: ast.AST, *, forked: bool = False) -> Iterator[str]:
    if isinstance(tree, ast.With):
        forked = forked or any("fork_rng" in ast.unparse(item.context_expr) for item in tree.items)
    if isinstance(tree, ast.Call) and ast.unparse(tree.func) in GLOBAL_SEEDS and not forked:
        yield f"line {tree.lineno}: {ast.unparse(tree)}"
    for child in ast.iter_child_nodes(tree):
        yield from global_seeds(child, forked=forked)


def prints(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print":
            yield f"line {node.lineno}: {ast.unparse(node)}"


def test_the_library_prints_nothing_and_sets_no_global_seed() -> None:
    found = []
    for file in SOURCES:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        told = [] if file.name == "__main__.py" else list(prints(tree))
        found += [f"{file.name}, {line}" for line in [*told, *global_seeds(tree)]]
    assert not found, found


def test_prints_and_global_seeds_are_seen() -> None:
    tree = ast.parse("print(1)\ntorch.manual_seed(0)\nwith torch.random.fork_rng():\n  torch.manual_seed(1)")
    assert list(prints(tree)) == ["line 1: print(1)"]
    assert list(global_seeds(tree)) == ["line 2: torch.manual_seed(0)"]


# What has one place: the environment, but for libraries' own switches that stand before their import; whole files.
ONE_PLACE = {
    "os.environ": {"smaller.base.paths", "smaller.base.settings", "smaller", "smaller.encoders"},
    "os.getenv": set(),
    "os.putenv": set(),
    "os.replace": set(),
    "tempfile.NamedTemporaryFile": set(),
    "tempfile.mkstemp": set(),
}


def elsewhere(tree: ast.AST, *, module: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and module not in ONE_PLACE.get(name := ast.unparse(node), {module}):
            yield f"{module}, line {node.lineno}: {name}"
        if isinstance(node, ast.ImportFrom) and node.module in ("os", "tempfile"):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from (f"{module}, line {node.lineno}: {name}" for name in sorted(names & set(ONE_PLACE)))


def test_the_environment_is_read_and_files_are_replaced_in_one_place() -> None:
    trees = {module_name(file): ast.parse(file.read_text(encoding="utf-8")) for file in SOURCES}
    assert [line for name, tree in trees.items() for line in elsewhere(tree, module=name)] == []
    for name in ("smaller", "smaller.encoders"):
        assert [line for line in ast.unparse(trees[name]).splitlines() if "os.environ" in line] == [
            line for line in ast.unparse(trees[name]).splitlines() if line.startswith("os.environ.setdefault(")
        ]


def test_another_place_is_seen() -> None:
    tree = ast.parse("import os\nfrom os import environ\nos.environ['A']\ndef f():\n  os.replace(a, b)")
    assert list(elsewhere(tree, module="smaller.data.x")) == [
        "smaller.data.x, line 2: os.environ",
        "smaller.data.x, line 3: os.environ",
        "smaller.data.x, line 5: os.replace",
    ]


def git(*arguments: str) -> list[str]:
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("this is not a git checkout")
    # Neither a person's own list of ignored files nor a repository around this one has a say.
    command = ["git", "-c", "core.excludesFile=", "-c", "core.quotePath=off", *arguments]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode in (0, 1), run.stderr
    return run.stdout.splitlines()


def machine_paths(text: str, *, folders: list[str]) -> list[str]:
    names = "|".join(re.escape(folder) for folder in folders)
    return re.findall(rf"(?<![\w.~-])(?:{names}|/home/\w+|/Users/\w+)/\S*", text)


def test_no_file_names_a_place_of_one_machine() -> None:
    folders = [str(place) for place in (ROOT, ROOT.parent, Path.home()) if len(place.parts) > 1]
    beside = ".." + "/shared"
    found = []
    for name in git("ls-files", "--cached", "--others", "--exclude-standard"):
        file = ROOT / name
        if not file.is_file() or b"\0" in (content := file.read_bytes()):
            continue
        text = content.decode(encoding="utf-8", errors="replace")
        found += [f"{name}: {path}" for path in machine_paths(text, folders=folders)]
        if beside in text and name != ".ci/run":
            found.append(f"{name}: {beside}")
    assert not found, found


def test_a_place_of_one_machine_is_seen() -> None:
    text = "open('/srv/here/smaller/x'), /home/" + "ada/x, https://example.org/home/" + "page/, ~/srv/here/x"
    assert machine_paths(text, folders=["/srv/here"]) == ["/srv/here/smaller/x'),", "/home/" + "ada/x,"]


def test_no_source_is_ignored() -> None:
    rubbish = re.compile(r"(^|/)(__pycache__|\.ipynb_checkpoints|\.pytest_cache|\.ruff_cache|[\w.]+\.egg-info)/")
    hidden = git("ls-files", "--others", "--ignored", "--exclude-standard", "--", "lib", "notebooks", "tests", ".ci")
    assert [name for name in hidden if not rubbish.search(name)] == []
    assert git("ls-files", "--cached", "--ignored", "--exclude-standard") == []


def test_git_ignores_what_is_generated_and_nothing_else() -> None:
    kept = [
        "lib/smaller/new.py",
        "lib/smaller/data/sample/swa.txt",
        "lib/smaller/data/new.csv",
        "lib/smaller/build.py",
        "notebooks/09_new.ipynb",
        "notebooks/profiles/new.yaml",
        "tests/test_new.py",
        "tests/data/dist/x.gz",
        "outputs/reference/results/x.json",
        "outputs/reference/report/index.html",
    ]
    ignored = [
        ".venv/bin/python",
        "outputs/results/x.json",
        "outputs/report/index.html",
        "lib/smaller.egg-info/PKG-INFO",
        "lib/smaller/__pycache__/x.pyc",
        "notebooks/.ipynb_checkpoints/x.ipynb",
    ]
    assert git("check-ignore", "--no-index", *kept, *ignored) == ignored


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_notebook_is_clean(file: Path) -> None:
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert "widgets" not in notebook.metadata
    assert notebook.cells[0].cell_type == "markdown" and notebook.cells[0].source.startswith("# ")
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert "parameters" in cells[0].metadata.get("tags", []), "the first code cell is the parameters cell"
    for cell in cells:
        assert cell.outputs == [] and cell.execution_count is None, f"strip the outputs: {cell.source}"
        # IPython's own lines are no Python.
        plain = "\n".join(line for line in cell.source.splitlines() if not line.lstrip().startswith(("%", "!")))
        defined = [node for node in ast.walk(ast.parse(plain)) if isinstance(node, DEFINITIONS)]
        assert not defined, f"define it in lib/: {cell.source}"


DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    strange = [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line)]
    assert not strange, f"not name==version: {strange}"
    names = [line.partition("==")[0] for line in lines]
    assert names == sorted(set(names))
    return dict(line.split("==") for line in lines)


def ci_script(name: str) -> object:
    specification = importlib.util.spec_from_file_location(name, ROOT / f".ci/{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_lock_holds_all_that_is_declared() -> None:
    pins = locked()
    for line in ci_script("lock").roots(ROOT / "pyproject.toml"):
        wanted = Requirement(line)
        version = pins.get(canonicalize_name(wanted.name))
        assert version, f"{line} is not in requirements.lock: make lock"
        assert wanted.specifier.contains(Version(version)), f"{line}, but the lock has {version}: make lock"


def test_lock_holds_all_that_the_declared_packages_need_here() -> None:
    closure = ci_script("lock").closure(["papermill", "seqeval"])
    assert {"nbclient", "scikit-learn", "numpy"} <= set(closure)
    assert set(closure) <= set(locked())


def test_lock_is_the_same_where_pytorch_is_a_build_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    lock, real = ci_script("lock"), importlib.metadata.distribution
    plain = lock.closure(["torch"])

    def for_a_gpu(name: str) -> object:
        found = real(name)
        more = ["nvidia-cublas==13.1", "cuda-bindings>=13; python_version > '3'", "triton==3.7"] * (name == "torch")
        version = f"{plain['torch']}+cu130" if name == "torch" else found.version
        return types.SimpleNamespace(version=version, requires=[*(found.requires or []), *more])

    monkeypatch.setattr(lock, "distribution", for_a_gpu)
    assert lock.closure(["torch"]) == plain


def test_lock_can_be_installed_on_the_oldest_python_that_is_promised() -> None:
    """Debian 12 has 3.11.2, and some packages begin with a later 3.11."""
    needs = {name: importlib.metadata.metadata(name).get("Requires-Python") or "" for name in locked()}
    assert [name for name, need in needs.items() if not SpecifierSet(need).contains("3.11.0")] == []


# Declared without an import of ours: each is what another package, or the way it is used, needs.
NEEDED_BY_OTHERS = {
    "protobuf": "transformers, with sentencepiece",
    "onnxscript": "torch's exporter",
    "onnx": "onnxruntime's quantizer",
    "jupyterlab": "make lab",
    "ipykernel": "the kernel that runs a notebook",
    "pytest-xdist": "make test",
    "ruff": "run as a command",
    "accelerate": "the plain Trainer of tests and bench",
}


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras, needed = project["optional-dependencies"], project["dependencies"]
    runtime, optional = names_in(needed), names_in(extras["cluster"] + extras["openvino"])
    all_extras = names_in(sum(extras.values(), []))
    ours = imported(SOURCES)
    elsewhere = imported([*sorted((ROOT / "tests").glob("*.py")), *sorted((ROOT / ".ci").glob("*.py"))])
    assert {name: file for name, file in ours.items() if name not in runtime | optional} == {}, "the package needs it"
    assert {name: file for name, file in elsewhere.items() if name not in runtime | all_extras} == {}
    assert runtime - set(ours) - set(NEEDED_BY_OTHERS) == set(), "a need of the tests alone is in the extra `test`"
    assert (runtime | all_extras) - set(ours) - set(elsewhere) - set(NEEDED_BY_OTHERS) == set()
    assert set(NEEDED_BY_OTHERS) <= runtime | all_extras


def names_in(lines: Iterable[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in lines}


def imported(files: Iterable[Path]) -> dict[str, str]:
    """Distributions that files import, with one of the files that does."""
    owners, used = importlib.metadata.packages_distributions(), {}
    for file in files:
        for top in top_levels(ast.parse(file.read_text(encoding="utf-8"))):
            if top not in sys.stdlib_module_names and top not in HERE:
                used[canonicalize_name(owners.get(top, [top])[0])] = file.name
    return used


HERE = {"smaller", *(file.stem for file in (ROOT / "tests").glob("*.py"))}


def top_levels(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]


def test_lock_is_not_made_from_an_incomplete_environment() -> None:
    with pytest.raises(SystemExit, match="no-such-package is not installed"):
        ci_script("lock").closure(["no-such-package"])
    with pytest.raises(SystemExit, match="packaging<1 is needed, but"):
        ci_script("lock").closure(["packaging<1"])


def test_environments_are_made_of_the_one_list() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert declared["requires-python"] == ">=3.11"
    for name in ("environment.yml", "Makefile", "requirements.lock", "pyproject.toml"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "index-url" not in text and "find-links" not in text, f"{name} names where packages come from"
    conda = (ROOT / "environment.yml").read_text(encoding="utf-8")
    assert "--requirement requirements.lock" in conda and "--editable ." in conda


def test_ruff_finds_nothing() -> None:
    command = [sys.executable, "-m", "ruff", "check", "--quiet", "lib", "tests", "notebooks", ".ci"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def make(*arguments: str, folder: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    if not shutil.which("make"):
        pytest.skip("there is no make on this machine")
    # The tests themselves may run under make, whose settings are not meant for these.
    settings = {
        "MAKEFLAGS",
        "MFLAGS",
        "MAKELEVEL",
        "MAKEOVERRIDES",
        "PYTHON",
        "PROFILE",
        "ONLY",
        "LANGUAGES",
        "ENGINE",
        "ADDRESS",
        "ARGS",
    }
    variables = {"UV": ""} | variables
    kept = {name: value for name, value in os.environ.items() if name not in settings | {"HF_HUB_OFFLINE"}}
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=kept | variables, capture_output=True, text=True, check=False
    )


TARGETS = "study test test-web lab report bench check lock layout clean clean-all help".split()


@pytest.mark.parametrize("target", TARGETS)
def test_command_is_there(target: str) -> None:
    run = make("--dry-run", target)
    assert run.returncode == 0, run.stderr
    assert f"make {target} " in make("help").stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout in a folder with a space in its name, whose virtual environment only says what it was asked to do."""
    folder = tmp_path / "a checkout"
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".ci").mkdir()
    for name in ("Makefile", "requirements.lock", "pyproject.toml", ".ci/install"):
        shutil.copy(ROOT / name, folder / name)
    python = folder / ".venv/bin/python"
    python.write_text('#!/bin/sh\necho "python $* [offline: $HF_HUB_OFFLINE]"\n', encoding="utf-8")
    python.chmod(0o755)
    return folder


def test_environment_is_made_once(checkout: Path) -> None:
    first = make("test", folder=checkout).stdout
    command = "python -m pytest -n logical --maxprocesses 4 --dist worksteal"
    assert first.count("pip install") == 5 and first.endswith(f"{command} [offline: 1]\n")
    assert make("test", folder=checkout).stdout == f"{command} [offline: 1]\n"
    assert make("test", "ARGS=-k lock", folder=checkout).stdout == f"{command} -k lock [offline: 1]\n"
    os.utime(checkout / "requirements.lock", (2**31, 2**31))
    assert make("test", folder=checkout).stdout.count("pip install") == 5, "a new lock is installed"


def test_a_study_waits_for_no_more_than_it_needs(checkout: Path) -> None:
    """JupyterLab, and what tests and benchmarks need, come with the first call that needs them."""
    first = make("study", folder=checkout).stdout
    assert re.findall(r"^\d of 4(?=: )", first, flags=re.MULTILINE) == ["1 of 4", "2 of 4", "3 of 4", "4 of 4"]
    assert first.count("pip install") == 4 and "--requirement" not in first
    installs = [line for line in first.splitlines() if "pip install" in line]
    assert all("--constraint requirements.lock" in line for line in installs)
    assert "--editable ." in installs[-1]
    then = make("lab", folder=checkout).stdout
    assert then.count("pip install") == 1 and "--requirement requirements.lock" in then and "JupyterLab" in then
    assert "pip install" not in make("bench", folder=checkout).stdout + make("study", folder=checkout).stdout


def test_uv_installs_where_it_is_and_pip_where_it_fails(checkout: Path) -> None:
    uv = checkout / "uv"
    uv.write_text('#!/bin/sh\necho "uv $*"\ncase "$*" in *torch*) exit 1; esac\n', encoding="utf-8")
    uv.chmod(0o755)
    lines = make("study", f"UV={uv}", folder=checkout).stdout.splitlines()
    asked = [line.split()[0] for line in lines if "pip install" in line]
    assert asked == ["uv", "python", "uv", "uv", "uv"], lines


def test_what_a_group_names_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}
    script = (ROOT / ".ci/install").read_text(encoding="utf-8")
    groups = re.findall(r"^install ([a-z][\w -]*)$", script, flags=re.MULTILINE)
    assert len(groups) == 3 and {name for group in groups for name in group.split()} <= declared


def test_study_passes_its_choices_on(checkout: Path) -> None:
    make("test", folder=checkout)
    assert make(folder=checkout).stdout == "python -m smaller study --profile sample [offline: 1]\n"
    run = make("study", "PROFILE=paper", "ONLY=02_pruning", "LANGUAGES=swa,yor", folder=checkout)
    assert run.stdout == "python -m smaller study --profile paper --only 02_pruning --languages swa,yor [offline: 1]\n"
    run = make("study", "ENGINE=ray", "ADDRESS=auto", folder=checkout)
    assert run.stdout == "python -m smaller study --profile sample --engine ray --address auto [offline: 1]\n"
    assert "[offline: 0]" in make("study", "PROFILE=mini", folder=checkout, HF_HUB_OFFLINE="0").stdout
    run = make("fetch", "PROFILE=paper", "ARGS=--dry-run", folder=checkout)
    assert run.stdout == "python -m smaller fetch --profile paper --dry-run [offline: ]\n"


def test_old_python_is_one_clear_line(checkout: Path) -> None:
    old = checkout / "old python"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2 && exit 0\nexit 1\n', encoding="utf-8")
    old.chmod(0o755)
    run = make("test", "PYTHON=./old\\ python", folder=checkout)
    assert run.returncode != 0 and "pip" not in run.stdout
    assert "smaller needs Python 3.11 or newer" in run.stderr and "Python 3.9.2" in run.stderr


def test_clean_keeps_the_reference_runs(checkout: Path) -> None:
    for name in ("results/a b.json", "report/index.html", "reference/results/kept.json", ".hidden"):
        (checkout / "outputs" / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / "outputs" / name).write_text("{}", encoding="utf-8")
    assert make("clean", folder=checkout).returncode == 0
    assert [file.name for file in (checkout / "outputs").rglob("*") if file.is_file()] == ["kept.json"]
    assert (checkout / ".venv").exists()
    make("clean-all", folder=checkout)
    assert not (checkout / ".venv").exists()
