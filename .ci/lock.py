"""Print the lock: `name==version` for every package that the project needs, as installed where this script runs.

The roots are the build requirements, the dependencies and the extras `test` and `lab` of pyproject.toml; all that they
need follows from the metadata of the installed packages. Packages that nothing declared needs are left out, and so are
those that a build of PyTorch for some GPU brings along: the lock is the same on every machine.
"""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

OF_A_BUILD = ("nvidia-", "cuda-", "triton", "pytorch-triton", "amd-")
"""How the names of packages begin that only a build of PyTorch for a GPU needs, and pins by itself."""


def roots(project: Path) -> list[str]:
    """The requirements that pyproject.toml declares and the lock has to hold."""
    declared = tomllib.loads(project.read_text(encoding="utf-8"))
    extras = declared["project"]["optional-dependencies"]
    return declared["build-system"]["requires"] + declared["project"]["dependencies"] + extras["test"] + extras["lab"]


def closure(requirements: list[str]) -> dict[str, str]:
    """Name to version of all that the requirements need, directly or through others; SystemExit if one is missing."""
    versions: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(Requirement(line), "") for line in requirements]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        if name.startswith(OF_A_BUILD):
            continue
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            sys.exit(f"{requirement} is not installed here. Install it, then make the lock again.")
        if not requirement.specifier.contains(installed.version, prereleases=True):
            sys.exit(f"{requirement} is needed, but {installed.version} is installed here.")
        # A local label such as +cpu names a build, not a version; the lock leaves the build to each machine.
        versions[name] = installed.version.partition("+")[0]
        for wanted in {"", *requirement.extras}:
            if (name, wanted) not in seen:
                seen.add((name, wanted))
                waiting += [(Requirement(line), wanted) for line in installed.requires or []]
    return versions


if __name__ == "__main__":
    project = Path(__file__).resolve().parents[1] / "pyproject.toml"
    for name, version in sorted(closure(roots(project)).items()):
        print(f"{name}=={version}")
