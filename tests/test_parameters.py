import ast
import re

import nbformat
import papermill
import pytest
import yaml

from smaller.base.errors import SmallerError
from smaller.base.paths import notebooks_folder
from smaller.notebook import pipeline_parameters
from smaller.notebook.parameters import Settings, check, declared, filled
from smaller.notebook.profiles import asked, profile, profiles

NOTEBOOKS = sorted(notebooks_folder().glob("*.ipynb"))
CELL = """languages: list[str] = ["swa"]  # languages, ISO 639-3 codes
learning_rate: float = 5.0e-5  # step size of AdamW
seeds: list[int] = [1, 2]  # one model for each seed
limit: int | None = None  # sentences at most; None: all
random_masks: bool = True  # also prune at random
grid: list[float] = [
    0.5,  # half
    0.9,  # nearly all
]
"""


def namespace(**changes):
    variables = {}
    exec(CELL, variables)
    return variables | changes


def write(folder, name, *cells, tags=("parameters",)):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.cells[0].metadata["tags"] = list(tags)
    nbformat.write(notebook, folder / f"{name}.ipynb")
    return folder / f"{name}.ipynb"


@pytest.fixture
def study(tmp_path):
    write(tmp_path, "01_baselines", CELL)
    write(tmp_path, "02_pruning", CELL + "method: str = 'magnitude'\n")
    (tmp_path / "profiles").mkdir()

    def add(text, name="mini"):
        (tmp_path / "profiles" / f"{name}.yaml").write_text(text, encoding="utf-8")
        return tmp_path

    return add


def test_check_returns_what_the_cell_declares():
    settings = check(namespace(learning_rate=1))
    assert dict(settings)["seeds"] == [1, 2] and settings.learning_rate == 1 and settings.limit is None
    assert list(settings) == ["languages", "learning_rate", "seeds", "limit", "random_masks", "grid"]


def test_settings_are_read_only_and_their_own():
    variables = namespace()
    settings = check(variables)
    variables["seeds"].append(3)
    assert settings.seeds == [1, 2]
    with pytest.raises(SmallerError, match="read-only"):
        settings.seeds = [5]
    with pytest.raises(SmallerError, match="Did you mean 'seeds'"):
        settings.seed  # noqa: B018
    assert not hasattr(Settings({}), "__fancy__")


def test_an_unknown_name_is_refused_with_a_suggestion():
    with pytest.raises(SmallerError, match="'learning_rat'.*Did you mean 'learning_rate'"):
        check(namespace(learning_rat=1.0e-4))
    assert check(namespace(_hidden=1, module=pytest, helper=len, In=[], CONSTANT="imported")).seeds == [1, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": "1e-5"}, "should be float. YAML takes 1e-5 for text: write 1.0e-5"),
        ({"learning_rate": True}, "should be float"),
        ({"random_masks": "false"}, "should be bool. Write false in YAML"),
        ({"random_masks": 1}, "should be bool"),
        ({"seeds": [1, "2"]}, r"should be list\[int\]"),
        ({"seeds": 3}, r"should be list\[int\]"),
        ({"seeds": [True]}, r"should be list\[int\]"),
        ({"limit": 1.5}, r"should be int \| None"),
        ({"languages": "swa"}, r"should be list\[str\]"),
        ({"grid": ["5e-1"]}, "write 5.0e-1"),
    ],
)
def test_types_are_strict(change, message):
    with pytest.raises(SmallerError, match=message):
        check(namespace(**change))


def test_validators_check():
    def known(languages):
        if "swc" in languages:
            raise ValueError("no such language")

    assert check(namespace(languages=["yor"]), languages=known).languages == ["yor"]
    with pytest.raises(SmallerError, match="languages = .'swc'.: no such language"):
        check(namespace(languages=["swc"]), languages=known)


def test_a_namespace_without_parameters_says_which_cell_to_run():
    with pytest.raises(SmallerError, match="tagged `parameters`"):
        check({"CONSTANT": 1, "helper": len})


def test_a_second_visit_does_not_take_later_variables_for_parameters():
    first = check(namespace())
    again = check(namespace(settings=first, count=3, seeds=[9]))
    assert again.seeds == [9] and list(again) == list(first)


def test_without_annotations_the_values_are_the_parameters():
    """As on Python 3.14, which keeps no annotations of a cell."""
    variables = namespace(CONSTANT="imported")
    del variables["__annotations__"]
    assert list(check(variables)) == list(check(namespace())) and check(variables).seeds == [1, 2]


def test_declared_reads_the_file_without_running_it(tmp_path):
    notebook = write(tmp_path, "00_x", CELL, "raise SystemExit")
    kinds = {name: field.annotation for name, field in declared(notebook).model_fields.items()}
    assert kinds["learning_rate"] is float and kinds["limit"] == int | None and kinds["grid"] == list[float]
    values = filled(notebook, {"seeds": [3]}, where="here")
    assert list(values) == list(kinds) and (values["seeds"], values["learning_rate"]) == ([3], 5e-5)
    with pytest.raises(SmallerError, match="Parameter seeds in here"):
        filled(notebook, {"seeds": 3}, where="here")


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("x = 3", "line 1: write `name: type = value"),
        ("import os", "line 1: write"),
        ("x: int = len('abc')", "plain value"),
        ("x: int = 'three'", "should be int"),
        ("x: Path = 'a'", "Path is no type"),
        ("x: int = ", "line 1: "),
    ],
)
def test_a_parameters_cell_that_breaks_the_contract_is_refused(tmp_path, cell, message):
    with pytest.raises(SmallerError, match=message):
        declared(write(tmp_path, "00_x", cell))


def test_declared_needs_a_notebook_with_a_tag(tmp_path):
    with pytest.raises(SmallerError, match="carry the tag"):
        declared(write(tmp_path, "00_quickstart", CELL, tags=()))
    with pytest.raises(SmallerError, match="Did you mean '00_quickstart'"):
        declared(tmp_path / "00_quikstart.ipynb")
    (tmp_path / "broken.ipynb").write_text("{", encoding="utf-8")
    with pytest.raises(SmallerError, match="is not a notebook"):
        declared(tmp_path / "broken.ipynb")


def test_a_profile_gives_each_notebook_its_own(study):
    folder = study("study:\n  seeds: [7]\n  method: random\n02_pruning:\n  grid: [0.3]\n")
    assert profiles(folder=folder) == ["mini"]
    assert profile("mini", "01_baselines", folder=folder) == {"seeds": [7]}
    given = profile("mini", "02_pruning", folder=folder, overrides={"seeds": [1], "languages": ["yor"]})
    assert given == {"seeds": [1], "method": "random", "grid": [0.3], "languages": ["yor"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("study:\n  sedes: [7]\n", "'sedes' in .*mini.yaml, section study. Did you mean 'seeds'"),
        ("02_prunin:\n  seeds: [7]\n", "section '02_prunin' in .*Did you mean '02_pruning'"),
        ("01_baselines:\n  method: random\n", "'method' in .*section 01_baselines"),
        ("study:\n  learning_rate: 1e-5\n", "write 1.0e-5"),
        ("study: [1]\n", "expected lines"),
        ("- study\n", "mapping of sections"),
        ("study: {\n", "not valid YAML.*line"),
    ],
)
def test_a_profile_with_a_mistake_is_refused(study, text, message):
    with pytest.raises(SmallerError, match=message):
        profile("mini", "01_baselines", folder=study(text))


def test_unknown_profiles_notebooks_and_overrides_are_refused(study):
    folder = study("")
    with pytest.raises(SmallerError, match="no profile 'mimi'. Did you mean 'mini'"):
        profile("mimi", "01_baselines", folder=folder)
    with pytest.raises(SmallerError, match="Unknown notebook '01_baseline' in .*Did you mean '01_baselines'"):
        profile("mini", "01_baseline", folder=folder)
    with pytest.raises(SmallerError, match="'langages' in the command line. Did you mean 'languages'"):
        profile("mini", "01_baselines", folder=folder, overrides={"langages": ["swa"]})


def test_a_profile_says_of_named_values_those_that_it_changes(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("07_extreme:\n  text: {updates: 7}\n  tasks: {sample: 1}\n")
    usual = filled(notebooks_folder() / "07_extreme.ipynb", {}, where="here")
    found = profile(str(path), "07_extreme")
    assert found == {"text": usual["text"] | {"updates": 7}, "tasks": {"sample": 1}}
    path.write_text("07_extreme:\n  text: {updates: 2.5}\n")
    with pytest.raises(SmallerError, match="07_extreme: Parameter updates in text is 2.5"):
        asked(str(path), only=["07_extreme"])


def test_the_readmes_own_profile_is_one(project, tmp_path):
    (content,) = re.findall(r"```yaml\n(.*?)```", (project / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    path = tmp_path / "my.yaml"
    path.write_text(content)
    for notebook in NOTEBOOKS:
        assert profile(str(path), notebook.stem)["encoders"] == ["e5-small"]
    assert profile(str(path), "07_extreme")["text"]["updates"] == 500


@pytest.mark.parametrize("name", profiles())
def test_a_profile_says_only_what_differs_from_the_notebooks(name):
    path = notebooks_folder() / "profiles" / f"{name}.yaml"
    sections = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    shared, heard = sections.pop("study", {}), set()
    for notebook in NOTEBOOKS:
        defaults = filled(notebook, {}, where=name)
        heard |= {key for key, value in shared.items() if defaults.get(key, value) != value}
        otherwise = defaults | shared
        said = sections.get(notebook.stem, {})
        assert not [key for key, value in said.items() if otherwise[key] == value], notebook.stem
        for group in set(said) & set(pipeline_parameters.GROUPS):
            assert not [key for key, value in said[group].items() if otherwise[group][key] == value], group
    assert heard == set(shared)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_papermill_reads_the_same_parameters(notebook):
    """`papermill --help-notebook` knows the lines of the cell, but for those with several types."""
    values, found = filled(notebook, {}, where=""), papermill.inspect_notebook(notebook)
    several = {name for name, field in declared(notebook).model_fields.items() if "|" in str(field.annotation)}
    assert set(found) == set(values) - several
    assert {name: ast.literal_eval(told["default"]) for name, told in found.items()}.items() <= values.items()


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_parameter_says_what_it_means(notebook):
    source = next(cell for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code").source
    lines = source.splitlines()
    for statement in ast.parse(source).body:
        assert any("  # " in line for line in lines[statement.lineno - 1 : statement.end_lineno]), statement.target.id
