"""A model hub and the raw-file host of a git forge, played on this machine for the real clients of the hub.

`PlayedHub` serves repositories over the hub's protocol: files by branch, tag, `refs/...` or all forty digits of a
commit, large files through a redirect to another host, ranges, the lists of the API, pull requests, and the refusals
that the clients tell apart. `Fault` makes it misbehave. The second half builds tiny repositories that are laid out as
the published ones are: the same files, revisions and columns, with a few rows or weights of some hundred kilobytes.

    with PlayedHub(afriberta("small"), afriberta_corpus()) as hub:
        subprocess.run(command, env=hub.environment(cache))

The clients read the address when they are imported, so they run in processes of their own. What is not played: Xet
transfers, compressed answers, lists in several pages, and the data-set viewer, which has a host name of its own.

As a program, `python tests/played_hub.py --folder F --port N` serves what `write` has put into a folder.
"""

from __future__ import annotations

import argparse
import csv
import fnmatch
import functools
import hashlib
import http.server
import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Self
from urllib.parse import parse_qs, quote, unquote

import yaml

Content = bytes | Path
"""What a file holds: bytes, or a file on this machine, which is read in pieces whenever it is asked for."""

LARGE = frozenset(".arrow .bin .db .duckdb .gz .h5 .model .msgpack .onnx .ot .parquet .pt .safetensors .zip".split())
"""Endings of the files that the hub keeps outside git whatever their size, as its usual .gitattributes says."""

LARGE_SIZE = 10 * 2**20
WHEN = "2024-03-08T12:00:00.000Z"
BOT = "SFconvertbot"
BOT_TITLE = "Adding `safetensors` variant of this model"
PARQUET = "refs/convert/parquet"


def digits(beginning: str) -> str:
    """The forty digits of a commit whose first ones are known; the others, or all, are made up from the word."""
    known = beginning if re.fullmatch("[0-9a-f]+", beginning) else ""
    return (known + hashlib.sha1(beginning.encode()).hexdigest())[:40]


@dataclass
class Pull:
    """A pull request; its commits stand at `refs/pr/<number>`."""

    number: int
    title: str = BOT_TITLE
    author: str = BOT
    status: str = "open"


@dataclass
class Repository:
    """A repository: the files at each commit, and the names (`main`, `refs/pr/1`, `refs/tags/v1`) of some commits."""

    name: str
    kind: str = "model"
    commits: dict[str, dict[str, Content]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    pulls: list[Pull] = field(default_factory=list)
    parents: dict[str, str] = field(default_factory=dict)
    """The commit before a commit; it need not be one whose files are known."""
    private: bool = False
    gated: bool | str = False
    """False, or how the owner lets people in: "auto" or "manual"."""
    moved_to: str = ""

    @property
    def files(self) -> dict[str, Content]:
        """The files at `main`."""
        return self.commits[self.refs["main"]]

    def commit(self, revision: str) -> str:
        """The commit of a revision, or "": the hub knows names and whole commits, and no commit by its first digits."""
        named = self.refs.get(revision) or self.refs.get(f"refs/tags/{revision}", "")
        return named or (revision if revision in self.commits else "")

    def history(self, commit: str) -> list[str]:
        """The commit and those before it, newest first."""
        found = [commit]
        while found[-1] in self.parents:
            found.append(self.parents[found[-1]])
        return found

    def forget(self, revision: str) -> None:
        """Lose a revision and its commit, as when a branch was deleted or written anew."""
        commit = self.commit(revision)
        self.refs = {name: target for name, target in self.refs.items() if target != commit}
        del self.commits[commit]


@dataclass
class Fault:
    """What goes wrong with the next `times` requests (-1: for ever) whose path is like a pattern (`*/config.json`).

    A file outside git is asked for twice, under `/<repository>/resolve/...` and at the storage host under `/cdn/...`;
    both paths end with the file's. `cut` and `change` wait for an answer that carries a file's content.
    """

    path: str
    times: int = 1
    method: str = "*"
    status: int = 0
    """Answer with this status in place of what was asked for."""
    code: str = ""
    """Refuse as the hub does: RepoNotFound, GatedRepo, RevisionNotFound or EntryNotFound."""
    wait: int | None = None
    """The seconds in `Retry-After`."""
    delay: float = 0.0
    """Seconds before the answer."""
    cut: float | None = None
    """Break the connection after this part of the content, 0 to 1."""
    change: Callable[[bytes], bytes] | None = None
    """Serve other content, with its own length and under the old checksum."""


@dataclass
class Request:
    """A request that arrived, its path without escapes, and what became of it."""

    method: str
    path: str
    query: str = ""
    range: str = ""
    status: int = 0
    file: str = ""
    """The file whose content was sent, as `<repository>/<path>`."""
    sent: int = 0
    """Bytes of that content."""


@dataclass
class Answer:
    status: int
    content: Content = b""
    headers: dict[str, str] = field(default_factory=dict)
    file: str = ""


class _Ends(Exception):
    """Whatever was asked for, this is the answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def refusal(code: str, what: str = "", *, signed_in: bool = False) -> Answer:
    """The hub's refusal of a kind. It does not tell strangers what is private from what does not exist."""
    status, message = {
        "RepoNotFound": (404, "Repository not found") if signed_in else (401, "Invalid username or password."),
        "GatedRepo": (403 if signed_in else 401, f"Access to {what} is restricted. You must have access to it."),
        "RevisionNotFound": (404, f"Invalid rev id: {what}"),
        "EntryNotFound": (404, "Entry not found"),
    }[code]
    body = json.dumps({"error": message}).encode()
    return Answer(status, body, {"X-Error-Code": code, "X-Error-Message": message})


def size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def is_large(path: str, content: Content) -> bool:
    """Whether the hub keeps a file outside git."""
    return PurePosixPath(path).suffix in LARGE or size(content) >= LARGE_SIZE


@functools.cache
def sha256(content: Content) -> str:
    with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def git_blob(path: str, content: Content) -> str:
    """The name that git gives to a file, of which it keeps a pointer only where the file is large."""
    if is_large(path, content):
        content = pointer(content)
    elif isinstance(content, Path):
        content = content.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def pointer(content: Content) -> bytes:
    """What git keeps in place of a large file."""
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256(content)}\nsize {size(content)}\n"
    return text.encode()


def between(content: Content, start: int, stop: int) -> Iterator[bytes]:
    """The bytes from `start` to `stop`, a megabyte at a time."""
    with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as stream:
        stream.seek(start)
        while start < stop and (piece := stream.read(min(2**20, stop - start))):
            start += len(piece)
            yield piece


class PlayedHub:
    """The servers, between `with` and its end: the hub, with the git forge beside it, and the storage of large files.

    The storage is a port of its own because the clients follow redirects within the hub by themselves, and take
    what they know of a large file from the answer that leads away from it.
    `raw` maps `<owner>/<repository>/<commit>/<path>` to the content of files at the git forge.
    `requests`, `faults` and the repositories may be read and changed at any time.
    """

    token = "hf_played"
    """Who brings this one is let in everywhere."""

    def __init__(
        self,
        *repositories: Repository,
        raw: Mapping[str, Content] | None = None,
        faults: Iterable[Fault] = (),
        port: int = 0,
        log: Callable[[Request], None] | None = None,
    ) -> None:
        self.repositories = {(repository.kind, repository.name): repository for repository in repositories}
        self.raw = {path.strip("/"): content for path, content in (raw or {}).items()}
        self.faults = list(faults)
        self.requests: list[Request] = []
        self.unknown: list[str] = []
        """Paths of the API that were asked for and are not played."""
        self.log = log
        self._port, self._lock = port, threading.Lock()

    def __enter__(self) -> Self:
        self._servers = [_Server(self, port) for port in (self._port, 0)]
        self.address, self.storage = (f"http://127.0.0.1:{server.server_port}" for server in self._servers)
        self._threads = [threading.Thread(target=server.serve_forever, args=(0.01,)) for server in self._servers]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for server, thread in zip(self._servers, self._threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()

    def environment(self, cache: Path | str, *, offline: bool = False, token: str = "", **more: str) -> dict[str, str]:
        """What a process needs to take this for the hub and the forge; `cache` is its folder for what it fetches."""
        others = ("HF_", "HUGGING", "TRANSFORMERS_", "DISABLE_SAFETENSORS")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        switch = "1" if offline else "0"
        return (
            kept
            | {
                "HF_ENDPOINT": self.address,
                "HF_HOME": str(cache),
                "HF_HUB_OFFLINE": switch,
                "HF_DATASETS_OFFLINE": switch,
                "HF_HUB_DISABLE_TELEMETRY": "1",
                "DISABLE_TELEMETRY": "1",
                "HF_HUB_DISABLE_PROGRESS_BARS": "1",
                "SMALLER_FETCH_URL": self.address,
                "no_proxy": "*",
                "NO_PROXY": "*",
            }
            | ({"HF_TOKEN": token} if token else {})
            | more
        )

    @property
    def fetched(self) -> list[str]:
        """The files whose content was sent, in order, as `<repository>/<path>`; once for each time."""
        return [request.file for request in self.requests if request.file]

    def fault(self, request: Request, *, content: bool) -> Fault | None:
        """The fault that a request meets now, which thereby happens one time less."""
        with self._lock:
            for fault in self.faults:
                meant = fault.times != 0 and fault.method in ("*", request.method)
                of_content = fault.cut is not None or fault.change is not None
                if meant and of_content == content and fnmatch.fnmatchcase(request.path, fault.path):
                    fault.times -= fault.times > 0
                    return fault
        return None

    def answer(self, request: Request, path: str, form: Mapping[str, list[str]], token: str) -> Answer:
        """What a request gets: `path` is as it arrived, because a revision may hold slashes as escapes."""
        if fault := self.fault(request, content=False):
            time.sleep(fault.delay)
            if fault.status or fault.code:
                answer = refusal(fault.code, request.path) if fault.code else Answer(fault.status)
                waiting = {} if fault.wait is None else {"Retry-After": str(fault.wait)}
                return Answer(fault.status or answer.status, answer.content, answer.headers | waiting)
        parts = [unquote(part) for part in path.strip("/").split("/")]
        try:
            return self._answer(request, path, parts, form, token)
        except _Ends as ends:
            return ends.answer

    def _answer(
        self, request: Request, path: str, parts: list[str], form: Mapping[str, list[str]], token: str
    ) -> Answer:
        if "/".join(parts) in self.raw:
            name = "/".join(parts)
            return Answer(200, self.raw[name], {"ETag": f'"{sha256(self.raw[name])}"'}, name)
        if parts[0] == "cdn":
            file = "/".join(parts[5:])
            try:
                content = self.repositories[parts[1], "/".join(parts[2:4])].commits[parts[4]][file]
            except (KeyError, IndexError):
                return Answer(404, b"No such key")
            return Answer(200, content, {"ETag": f'"{sha256(content)}"'}, "/".join((*parts[2:4], file)))
        api = parts[:2] in (["api", "models"], ["api", "datasets"]) and len(parts) > 2
        kind = "dataset" if parts[api] == "datasets" else "model"
        below = parts[2:] if api else parts[1:] if kind == "dataset" else parts
        if not api and (parts[0] == "api" or "resolve" not in below[1:3]):
            self.unknown += [request.path] if parts[0] == "api" else []
            return Answer(404, b"404: Not Found")
        repository, rest = self._found(kind, below, path, token)
        if api:
            return self._listed(repository, request, rest, form)
        return self._resolved(repository, rest[1], "/".join(rest[2:]))

    def _found(self, kind: str, below: list[str], path: str, token: str) -> tuple[Repository, list[str]]:
        """The repository that a path names, with what follows its name."""
        names = ("/".join(below[:2]), below[0])
        repository = next((self.repositories[kind, name] for name in names if (kind, name) in self.repositories), None)
        let_in, signed_in = token == self.token, bool(token)
        if repository is None or (repository.private and not let_in):
            raise _Ends(refusal("RepoNotFound", signed_in=signed_in))
        if repository.moved_to:
            target = path.replace(f"/{repository.name}", f"/{repository.moved_to}", 1)
            raise _Ends(Answer(307, b"Temporary Redirect", {"Location": target}))
        listed = path.startswith("/api/")  # what a gated repository holds, everyone may see
        if repository.gated and not listed and not let_in:
            raise _Ends(refusal("GatedRepo", f"{kind} {repository.name}", signed_in=signed_in))
        return repository, below[repository.name.count("/") + 1 :]

    def _resolved(self, repository: Repository, revision: str, file: str) -> Answer:
        """A file at a revision, or the way to it."""
        commit = _commit(repository, revision)
        if file not in repository.commits[commit]:
            missing = refusal("EntryNotFound")
            return Answer(missing.status, missing.content, missing.headers | {"X-Repo-Commit": commit})
        content = repository.commits[commit][file]
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if not is_large(file, content):
            return Answer(200, content, headers | {"ETag": f'"{git_blob(file, content)}"'}, f"{repository.name}/{file}")
        location = f"{self.storage}/cdn/{repository.kind}/{repository.name}/{commit}/{quote(file)}"
        linked = {"X-Linked-Size": str(size(content)), "X-Linked-ETag": f'"{sha256(content)}"', "Location": location}
        return Answer(302, b"Found. Redirecting", headers | linked)

    def _listed(self, repository: Repository, request: Request, rest: list[str], form: dict[str, list[str]]) -> Answer:
        """What the API tells of a repository."""
        asked = {name: values[-1] for name, values in parse_qs(request.query).items()}
        match [request.method, *rest]:
            case ["GET"] | ["GET", "revision", _]:
                wanted = [name for names in parse_qs(request.query).get("expand", []) for name in names.split(",")]
                found = _about(repository, _commit(repository, rest[1] if rest else "main"), sizes="blobs" in asked)
                found = {name: found[name] for name in ("id", *wanted) if name in found} if wanted else found
            case ["GET", "tree", revision, *folder]:
                files = repository.commits[_commit(repository, revision)]
                found = _tree(files, "/".join(folder), deep=asked.get("recursive", "").lower() in ("true", "1"))
                if folder and not found:
                    raise _Ends(refusal("EntryNotFound"))
            case ["POST", "paths-info", revision]:
                entries = _tree(repository.commits[_commit(repository, revision)], "", deep=True)
                found = [entry for entry in entries if entry["path"] in form.get("paths", [])]
            case ["GET", "refs"]:
                found = _references(repository)
            case ["GET", "commits", revision]:
                history = repository.history(_commit(repository, revision))
                found = [{"id": commit, "title": "", "message": "", "authors": [], "date": WHEN} for commit in history]
            case ["GET", "discussions"]:
                found = _discussions(repository)
            case _:
                self.unknown.append(request.path)
                return Answer(404, b'{"error": "Not Found"}')
        return Answer(200, json.dumps(found).encode(), {"Content-Type": "application/json"})


def _commit(repository: Repository, revision: str) -> str:
    if commit := repository.commit(revision):
        return commit
    raise _Ends(refusal("RevisionNotFound", revision))


def _about(repository: Repository, commit: str, *, sizes: bool) -> dict[str, Any]:
    files = repository.commits[commit]
    card = files.get("README.md", b"")
    front = re.match(r"---\n(.*?)\n---", (card if isinstance(card, bytes) else card.read_bytes()).decode(), re.DOTALL)
    data = yaml.safe_load(front[1]) if front else {}
    siblings = [{"rfilename": path} | (_sizes(path, files[path]) if sizes else {}) for path in sorted(files)]
    return {
        "id": repository.name,
        "author": repository.name.split("/")[0],
        "sha": commit,
        "lastModified": WHEN,
        "createdAt": WHEN,
        "private": repository.private,
        "gated": repository.gated,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [f"license:{data['license']}"] if "license" in data else [],
        "cardData": data,
        "siblings": siblings,
    }


def _sizes(path: str, content: Content) -> dict[str, Any]:
    found = {"size": size(content), "blobId": git_blob(path, content)}
    if is_large(path, content):
        found["lfs"] = {"sha256": sha256(content), "size": size(content), "pointerSize": len(pointer(content))}
    return found


def _tree(files: Mapping[str, Content], folder: str, *, deep: bool) -> list[dict[str, Any]]:
    """Files and folders in a folder, or all those below it."""
    start = f"{folder}/" if folder else ""
    found = {}
    for path in sorted(path for path in files if path.startswith(start)):
        steps = path.removeprefix(start).split("/")
        for depth in range(1, len(steps) if deep else min(2, len(steps))):
            above = start + "/".join(steps[:depth])
            found[above] = {"type": "directory", "oid": digits(above), "size": 0, "path": above}
        if deep or len(steps) == 1:
            facts = _sizes(path, files[path])
            found[path] = {"type": "file", "oid": facts["blobId"], "size": facts["size"], "path": path}
            if "lfs" in facts:
                found[path]["lfs"] = {"oid": facts["lfs"]["sha256"], **facts["lfs"]}
    return list(found.values())


def _references(repository: Repository) -> dict[str, Any]:
    found: dict[str, list] = {"branches": [], "converts": [], "tags": [], "pullRequests": []}
    kinds = {"refs/pr/": "pullRequests", "refs/convert/": "converts", "refs/tags/": "tags"}
    for name, commit in repository.refs.items():
        group = next((group for start, group in kinds.items() if name.startswith(start)), "branches")
        whole = name if name.startswith("refs/") else f"refs/heads/{name}"
        found[group].append({"name": whole.split("/", 2)[2], "ref": whole, "targetCommit": commit})
    return found


def _discussions(repository: Repository) -> dict[str, Any]:
    about = {"repo": {"name": repository.name, "type": repository.kind}, "isPullRequest": True, "createdAt": WHEN}
    pulls = [
        {"num": pull.number, "title": pull.title, "status": pull.status, "author": {"name": pull.author}} | about
        for pull in sorted(repository.pulls, key=lambda pull: -pull.number)
    ]
    return {"discussions": pulls, "count": len(pulls), "start": 0}


class _Server(http.server.ThreadingHTTPServer):
    def __init__(self, hub: PlayedHub, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.hub = hub

    def handle_error(self, request: object, address: object) -> None:
        """A client that hangs up in the middle is part of the play; anything else is a mistake in this file."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, address)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        hub = self.server.hub
        path, _, query = self.path.partition("?")
        form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        request = Request(self.command, unquote(path), query, self.headers.get("Range", ""))
        hub.requests.append(request)
        try:
            self._send(hub, request, hub.answer(request, path, form, token))
        finally:
            if hub.log:
                hub.log(request)

    do_HEAD = do_POST = do_GET

    def _send(self, hub: PlayedHub, request: Request, answer: Answer) -> None:
        content, status, headers = answer.content, answer.status, dict(answer.headers)
        carries = bool(answer.file) and self.command == "GET"
        fault = hub.fault(request, content=True) if carries else None
        if fault and fault.change:
            content = fault.change(b"".join(between(content, 0, size(content))))
        start, stop = 0, size(content)
        if answer.file and (asked := re.fullmatch(r"bytes=(\d*)-(\d*)", request.range)):
            first, last = asked.groups()
            end = min(int(last) + 1, stop) if first and last else stop
            start, stop = int(first) if first else max(0, stop - int(last)), end
            status, headers["Content-Range"] = 206, f"bytes {start}-{stop - 1}/{size(content)}"
            if start >= stop:
                start = stop = 0
                status, carries, headers["Content-Range"] = 416, False, f"bytes */{size(content)}"
        request.status = status
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(stop - start)}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault and fault.cut is not None:
            stop = start + int(fault.cut * (stop - start))
            self.close_connection = True
        if carries:
            request.file, request.sent = answer.file, stop - start
        if fault:
            time.sleep(fault.delay)
        for piece in between(content, start, stop):
            self.wfile.write(piece)

    def log_message(self, *_: object) -> None:
        """The requests are in `PlayedHub.requests`."""


def told_by(program: str, hub: PlayedHub, folder: Path, *lines: str, offline: bool = False, **more: str) -> list[Any]:
    """What each line gives in a fresh process that runs `program` with the lines as its arguments.

    The program prints a JSON object of an answer for each line; that of a refused one is a mapping with its `error`.
    Caches are below `folder`, and no folder of the user's is seen.
    """
    environment = hub.environment(folder / "hub", offline=offline, SMALLER_CACHE=str(folder / "cache"), **more)
    for name in {"SMALLER_DATA", "SMALLER_MODELS"} - set(more):
        environment.pop(name, None)
    done = subprocess.run([sys.executable, "-c", program, *lines], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    return [told[line] for line in lines]


def errors(answers: Sequence[Any]) -> list[str]:
    """The texts of answers that are errors, all of them, each in one line."""
    assert all(isinstance(answer, dict) and "error" in answer for answer in answers), answers
    found = [answer["error"] for answer in answers]
    assert not any("Traceback" in text or "\n" in text for text in found), found
    return found


def write(folder: Path, *repositories: Repository, raw: Mapping[str, Content] | None = None) -> None:
    """Put repositories, and files of the forge, into a folder that `read` takes them from."""

    def put(content: Content, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            shutil.copyfile(content, path)
        else:
            path.write_bytes(content)

    for repository in repositories:
        own = folder / "--".join((repository.kind, *repository.name.split("/")))
        about = {name: value for name, value in asdict(repository).items() if name != "commits"}
        put(json.dumps(about, indent=1).encode(), own / "repository.json")
        for commit, files in repository.commits.items():
            for path, content in files.items():
                put(content, own / commit / path)
    for path, content in (raw or {}).items():
        put(content, folder / "raw" / path)


def read(folder: Path) -> tuple[list[Repository], dict[str, Content]]:
    """The repositories of a folder, and its files of the forge; what the files hold stays where it is."""

    def below(start: Path) -> dict[str, Content]:
        return {path.relative_to(start).as_posix(): path for path in sorted(start.rglob("*")) if path.is_file()}

    repositories = []
    for file in sorted(folder.glob("*--*/repository.json")):
        about = json.loads(file.read_text())
        about["pulls"] = [Pull(**pull) for pull in about["pulls"]]
        commits = {commit.name: below(commit) for commit in file.parent.iterdir() if commit.is_dir()}
        repositories.append(Repository(**about, commits=commits))
    return repositories, below(folder / "raw")


# Contents: words, tables, tokenizers and weights, the same on every machine.


def sentences(language: str, count: int) -> list[str]:
    """Lines of made-up words, other ones for each language."""
    dice = random.Random(language)
    words = ["".join(dice.choice("bdfgklmnrstwyz") + dice.choice("aeiou") for _ in range(n)) for n in (2, 2, 3, 3) * 40]
    return [" ".join(dice.choices(words, k=dice.randint(4, 9))).capitalize() + "." for _ in range(count)]


def tagged(language: str, count: int, tags: Sequence[str]) -> dict[str, list]:
    """Made-up sentences as `tokens` and `ner_tags`, a number for each token; a name has a capital letter."""
    dice = random.Random(f"{language} tags")
    tokens = [line.removesuffix(".").lower().split() for line in sentences(language, count)]
    numbers = [[dice.choice([0, 0, *range(1, len(tags), 2)]) for _ in words] for words in tokens]
    for words, labels in zip(tokens, numbers, strict=True):
        words[:] = [word.capitalize() if label else word for word, label in zip(words, labels, strict=True)]
    return {"tokens": tokens, "ner_tags": numbers}


def parquet(columns: Mapping[str, Sequence], names: Mapping[str, Sequence[str]] | None = None) -> bytes:
    """A Parquet file; `names` has the names behind the numbers of label columns, which stand in its metadata."""
    import pyarrow
    from pyarrow import parquet as files

    def described(name: str, kind: pyarrow.DataType) -> dict[str, Any]:
        if pyarrow.types.is_list(kind):
            return {"feature": described(name, kind.value_type), "_type": "Sequence"}
        if name in (names or {}):
            return {"names": list(names[name]), "_type": "ClassLabel"}
        return {"dtype": str(kind), "_type": "Value"}

    table = pyarrow.table(dict(columns))
    features = {part.name: described(part.name, part.type) for part in table.schema}
    if names is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    made = io.BytesIO()
    files.write_table(table, made)
    return made.getvalue()


def separated(columns: Mapping[str, Sequence], separator: str = ",") -> bytes:
    """A table as text with a line of column names."""
    made = io.StringIO(newline="")
    lines = csv.writer(made, delimiter=separator, lineterminator="\n")
    lines.writerow(columns)
    lines.writerows(zip(*columns.values(), strict=True))
    return made.getvalue().encode()


@functools.cache
def sentence_piece(vocabulary: int = 300) -> bytes:
    """A SentencePiece model of made-up words."""
    import sentencepiece

    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences("pieces", 400)),
        model_writer=made,
        vocab_size=vocabulary,
        num_threads=1,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return made.getvalue()


@functools.cache
def xlm_r_tokenizer(pieces: bytes) -> bytes:
    """The tokenizer.json that belongs to a SentencePiece model of XLM-R's kind."""
    from transformers import XLMRobertaTokenizer

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "sentencepiece.bpe.model").write_bytes(pieces)
        return XLMRobertaTokenizer.from_pretrained(folder).backend_tokenizer.to_str().encode()


def vocabulary_size(pieces: bytes) -> int:
    """How many pieces XLM-R's tokenizer makes of a SentencePiece model: it adds `<pad>` and `<mask>`."""
    import sentencepiece

    return len(sentencepiece.SentencePieceProcessor(model_proto=pieces)) + 2


def weights(config: Mapping[str, Any], seed: int = 0) -> dict[str, Any]:
    """Random weights of the architecture that a configuration names, as the model's state dict."""
    import torch
    import transformers

    shape = transformers.AutoConfig.for_model(**{key: value for key, value in config.items() if key != "architectures"})
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return dict(getattr(transformers, config["architectures"][0])(shape).state_dict())


def pickled(state: Mapping[str, Any]) -> bytes:
    """A state dict as `torch.save` keeps it; tensors that share their memory go on sharing it."""
    import torch

    made = io.BytesIO()
    torch.save(OrderedDict(state), made)
    return made.getvalue()


def converted(state: Mapping[str, Any]) -> bytes:
    """The safetensors that the hub's bot makes of a pickle: each matrix once."""
    from safetensors.torch import save

    return save({name: tensor for name, tensor in state.items() if ".decoder." not in name}, metadata={"format": "pt"})


# Models. The shapes are the published ones but for widths and vocabularies; `shape` overrides fields of the
# configuration, `state` is a state dict to serve in place of random weights, `pieces` a SentencePiece model.

SPECIAL = dict(
    bos_token="<s>",
    eos_token="</s>",
    unk_token="<unk>",
    sep_token="</s>",
    pad_token="<pad>",
    cls_token="<s>",
    mask_token="<mask>",
)
ATTRIBUTES = "".join(f"*{ending} filter=lfs diff=lfs merge=lfs -text\n" for ending in sorted(LARGE)).encode()

AFRIBERTA = {
    "small": dict(layers=4, main="51667384e9f1571857fbcb68490c10b3abe1f141", bot=(1, "c243ce7"), card=""),
    "base": dict(layers=8, main="95b703f498c9cee56be5f5bbc5140022dc86099e", bot=(1, "c408166"), card=""),
    "large": dict(layers=10, main="231d924", bot=(3, "3bb8fbb"), card="license: mit\n"),
}
"""What the three sizes differ in; `bot` is the pull request with safetensors and the first digits of its commit."""


def as_json(content: Mapping[str, Any], *, lines: bool = False) -> bytes:
    return json.dumps(content, indent=2 if lines else None).encode()


def card(front: str, title: str) -> dict[str, Content]:
    """The files that every repository begins with."""
    return {".gitattributes": ATTRIBUTES, "README.md": f"---\n{front}---\n\n# {title}\n".encode()}


def junk(*paths: str) -> dict[str, Content]:
    """Files that nothing here may read, let alone fetch."""
    return {path: random.Random(path).randbytes(200) for path in paths}


def xlm_r_config(pieces: bytes, **shape: Any) -> dict[str, Any]:
    return (
        dict(
            architectures=["XLMRobertaForMaskedLM"],
            attention_probs_dropout_prob=0.1,
            bos_token_id=0,
            eos_token_id=2,
            hidden_act="gelu",
            hidden_dropout_prob=0.1,
            hidden_size=24,
            initializer_range=0.02,
            intermediate_size=48,
            layer_norm_eps=1e-05,
            max_position_embeddings=514,
            model_type="xlm-roberta",
            num_attention_heads=12,
            num_hidden_layers=12,
            output_past=True,
            pad_token_id=1,
            position_embedding_type="absolute",
            transformers_version="4.17.0.dev0",
            type_vocab_size=1,
            use_cache=True,
            vocab_size=vocabulary_size(pieces),
        )
        | shape
    )


def bert_config(**shape: Any) -> dict[str, Any]:
    return (
        dict(
            architectures=["BertModel"],
            attention_probs_dropout_prob=0.1,
            hidden_act="gelu",
            hidden_dropout_prob=0.1,
            hidden_size=24,
            initializer_range=0.02,
            intermediate_size=48,
            layer_norm_eps=1e-12,
            max_position_embeddings=512,
            model_type="bert",
            num_attention_heads=12,
            num_hidden_layers=12,
            pad_token_id=0,
            position_embedding_type="absolute",
            type_vocab_size=2,
            use_cache=True,
        )
        | shape
    )


def old_state(state: Mapping[str, Any], prefix: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """A state as it was stored in 2021: with the positions' numbers, without a pooler, the output matrix shared."""
    import torch

    buffer = torch.arange(config["max_position_embeddings"]).expand((1, -1)).clone()
    kept = {name: tensor for name, tensor in state.items() if ".pooler." not in name}
    kept["lm_head.decoder.weight"] = kept[f"{prefix}embeddings.word_embeddings.weight"]
    kept["lm_head.decoder.bias"] = kept["lm_head.bias"]
    return {f"{prefix}embeddings.position_ids": buffer} | kept


def afriberta(
    size: str, state: Mapping[str, Any] | None = None, pieces: bytes | None = None, **shape: Any
) -> Repository:
    """castorini/afriberta_*: a pickle and no safetensors on `main`, a SentencePiece model without a tokenizer class.

    The safetensors stand in an open pull request of the hub's bot: 1, or 3 for large, whose first two were merged.
    """
    about, pieces = AFRIBERTA[size], pieces or sentence_piece()
    config = (
        xlm_r_config(
            pieces,
            num_attention_heads=6,
            num_hidden_layers=about["layers"],
            gradient_checkpointing=False,
            max_length=512,
            transformers_version="4.2.1",
        )
        | shape
    )
    state = old_state(state or weights(config), "roberta.", config)
    tokenizer = SPECIAL | dict(
        special_tokens_map_file=None, name_or_path="spm_models/spm_model_final_70k", tokenizer_file=None
    )
    files = (
        card(f"{about['card']}language:\n- ha\n- sw\n", f"afriberta_{size}")
        | junk("tf_model.h5")
        | {
            "config.json": as_json(dict(sorted(config.items())), lines=True),
            "pytorch_model.bin": pickled(state),
            "sentencepiece.bpe.model": pieces,
            "special_tokens_map.json": as_json(SPECIAL),
            "tokenizer_config.json": as_json(tokenizer),
        }
    )
    main, number, bot = digits(about["main"]), about["bot"][0], digits(about["bot"][1])
    extra = {".gitattributes": ATTRIBUTES + b"model.safetensors filter=lfs diff=lfs merge=lfs -text\n"}
    repository = Repository(
        f"castorini/afriberta_{size}",
        pulls=[Pull(number)],
        parents={bot: main},
        commits={main: files, bot: files | extra | {"model.safetensors": converted(state)}},
        refs={"main": main, f"refs/pr/{number}": bot},
    )
    if size == "large":
        before, merged = "e74edb9488208f8a2aeb69be4c16d179ab385564", digits("tensorflow")
        repository.parents |= {main: before, merged: before}
        repository.commits[merged] = files
        repository.refs |= {"refs/pr/1": merged, "refs/pr/2": main}
        repository.pulls += [
            Pull(1, "Add TensorFlow weights", "someone", "merged"),
            Pull(2, "Update README.md", "someone", "merged"),
        ]
    return repository


def xlm_r(state: Mapping[str, Any] | None = None, pieces: bytes | None = None, **shape: Any) -> Repository:
    """FacebookAI/xlm-roberta-base, with its weights in five formats, and an older `main`."""
    pieces = pieces or sentence_piece()
    config = xlm_r_config(pieces, **shape)
    state = old_state(state or weights(config), "roberta.", config)
    files = (
        card("license: mit\n", "XLM-RoBERTa")
        | {
            "config.json": as_json(config, lines=True) + b"\n",
            "model.safetensors": converted(state),
            "pytorch_model.bin": pickled(state),
            "sentencepiece.bpe.model": pieces,
            "tokenizer.json": xlm_r_tokenizer(pieces),
            "tokenizer_config.json": b'{"model_max_length": 512}',
        }
        | junk("flax_model.msgpack", "onnx/model.onnx", "tf_model.h5")
    )
    main, older = "e73636d4f797dec63c3081bb6ed5c7b0bb3f2089", "d817c5c1e3260a65d442640e4603279592d0f2f4"
    return Repository(
        "FacebookAI/xlm-roberta-base", commits={older: files, main: files}, refs={"main": main}, parents={main: older}
    )


def mbert(state: Mapping[str, Any] | None = None, **shape: Any) -> Repository:
    """google-bert/bert-base-multilingual-cased: WordPiece, and weights with the names and the heads of 2018.

    A layer norm's parts are gamma and beta, and two heads belong to an architecture that its configuration lacks.
    """
    from transformers import BertTokenizer

    letters = "abcdefghijklmnopqrstuvwxyz"
    words = sorted({word for line in sentences("pieces", 20) for word in line.lower().removesuffix(".").split()})
    vocabulary = ["[PAD]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", *letters, *letters.upper()]
    vocabulary += [f"##{letter}" for letter in letters] + words
    config = (
        bert_config(
            architectures=["BertForMaskedLM"],
            directionality="bidi",
            pooler_fc_size=768,
            pooler_num_attention_heads=12,
            pooler_num_fc_layers=3,
            pooler_size_per_head=128,
            pooler_type="first_token_transform",
            vocab_size=len(vocabulary),
        )
        | shape
    )
    renamed = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    state = {
        re.sub(r"LayerNorm\.\w+", lambda found: renamed[found[0]], name): tensor
        for name, tensor in (state or weights(config | {"architectures": ["BertForPreTraining"]})).items()
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "vocab.txt")
        file.write_text("\n".join(vocabulary) + "\n")
        tokenizer = BertTokenizer(str(file), do_lower_case=False).backend_tokenizer.to_str().encode()
    files = (
        card("license: apache-2.0\n", "BERT multilingual")
        | {
            "config.json": as_json(config, lines=True),
            "model.safetensors": converted(state),
            "pytorch_model.bin": pickled(state),
            "tokenizer.json": tokenizer,
            "tokenizer_config.json": b'{"do_lower_case": false, "model_max_length": 512}',
            "vocab.txt": ("\n".join(vocabulary) + "\n").encode(),
        }
        | junk("flax_model.msgpack", "tf_model.h5")
    )
    main = "3f076fdb1ab68d5b2880cb87a0886f315b8146f8"
    return Repository("google-bert/bert-base-multilingual-cased", commits={main: files}, refs={"main": main})


def e5_small(state: Mapping[str, Any] | None = None, pieces: bytes | None = None, **shape: Any) -> Repository:
    """intfloat/multilingual-e5-small: BERT without a head, and XLM-R's tokenizer, which pads with 1 and BERT with 0."""
    pieces = pieces or sentence_piece()
    config = (
        bert_config(
            tokenizer_class="XLMRobertaTokenizer",
            classifier_dropout=None,
            transformers_version="4.29.0.dev0",
            vocab_size=vocabulary_size(pieces) + 35,
        )
        | shape
    )
    state = state or weights(config)
    mask = dict(content="<mask>", lstrip=True, normalized=False, rstrip=False, single_word=False)
    tokenizer = SPECIAL | dict(
        mask_token={"__type": "AddedToken"} | mask, model_max_length=512, tokenizer_class="XLMRobertaTokenizer"
    )
    files = (
        card("license: mit\ntags:\n- sentence-transformers\n", "multilingual-e5-small")
        | {
            "config.json": as_json(config, lines=True),
            "model.safetensors": converted(state),
            "pytorch_model.bin": pickled(state),
            "sentencepiece.bpe.model": pieces,
            "special_tokens_map.json": as_json(SPECIAL),
            "tokenizer.json": xlm_r_tokenizer(pieces),
            "tokenizer_config.json": as_json(tokenizer),
            "1_Pooling/config.json": b'{"pooling_mode_mean_tokens": true}',
            "modules.json": b"[]",
            "sentence_bert_config.json": b'{"max_seq_length": 512, "do_lower_case": false}',
            "onnx/config.json": as_json(config),
            "onnx/tokenizer.json": xlm_r_tokenizer(pieces),
        }
        | junk("onnx/model.onnx", "onnx/model_O4.onnx", "openvino/openvino_model.bin")
    )
    main = "614241f622f53c4eeff9890bdc4f31cfecc418b3"
    return Repository("intfloat/multilingual-e5-small", commits={main: files}, refs={"main": main})


def minilm(state: Mapping[str, Any] | None = None, pieces: bytes | None = None, **shape: Any) -> Repository:
    """microsoft/Multilingual-MiniLM-L12-H384: no safetensors at any revision, and an empty tokenizer_config.json."""
    pieces = pieces or sentence_piece()
    config = bert_config(tokenizer_class="XLMRobertaTokenizer", vocab_size=vocabulary_size(pieces) + 35, **shape)
    files = (
        card("license: mit\n", "MiniLM")
        | {
            "config.json": as_json(config, lines=True),
            "pytorch_model.bin": pickled(state or weights(config)),
            "sentencepiece.bpe.model": pieces,
            "special_tokens_map.json": as_json(SPECIAL),
            "tokenizer_config.json": b"{}",
            "convert_model.py": b"# not for loading\n",
            "log.txt": b"",
        }
        | junk("flax_model.msgpack", "tf_model.h5")
    )
    main = "6e8c1ec6b4ec4e3fc6eb7d2cd834fcd582b61daf"
    return Repository("microsoft/Multilingual-MiniLM-L12-H384", commits={main: files}, refs={"main": main})


def modernbert(**shape: Any) -> Repository:
    """jhu-clsp/mmBERT-small, of which there is a configuration only: another architecture than BERT's."""
    config = (
        dict(
            architectures=["ModernBertForMaskedLM"],
            bos_token_id=2,
            cls_token_id=1,
            eos_token_id=1,
            hidden_size=384,
            global_attn_every_n_layers=3,
            intermediate_size=1152,
            max_position_embeddings=8192,
            model_type="modernbert",
            num_attention_heads=6,
            num_hidden_layers=22,
            pad_token_id=0,
            sep_token_id=1,
            mask_token_id=4,
            tie_word_embeddings=True,
            vocab_size=256000,
        )
        | shape
    )
    main = digits("mmbert")
    files = card("license: mit\n", "mmBERT-small") | {"config.json": as_json(config, lines=True)}
    return Repository("jhu-clsp/mmBERT-small", commits={main: files}, refs={"main": main})


class _Runs:
    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple:
        return os.mkdir, (self.marker,)


def pickle_that_runs(marker: Path) -> Repository:
    """A repository like afriberta_small whose pickle makes the folder `marker` when it is read without care."""
    files = afriberta("small").files | {"pytorch_model.bin": pickled({"lm_head.bias": _Runs(marker)})}
    main = digits("badc0de")
    return Repository("someone/pickle-that-runs", commits={main: files}, refs={"main": main})


# Data sets.

CORPUS = "afaanoromoo amharic gahuza hausa igbo pidgin somali swahili tigrinya yoruba".split()
ENTITIES = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-DATE", "I-DATE")
TOPICS = ("science/technology", "travel", "politics", "sports", "health", "entertainment", "geography")
SCRIPT = b"raise SystemExit('nobody runs the scripts of data sets')\n"
SENTIMENT = {"maltese": "119f0f0", "slovak": "250a731", "swahili": "b9c6148"}


def numbered(language: str, rows: int, **columns: Any) -> dict[str, list]:
    return {"id": [str(number) for number in range(rows)]} | (columns or {"text": sentences(language, rows)})


def archive(lines: Iterable[str], name: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as files:
        files.writestr(zipfile.ZipInfo(name), "\n".join(lines))
    return made.getvalue()


def afriberta_corpus(rows: int = 6, texts: Mapping[str, Sequence[str]] | None = None) -> Repository:
    """castorini/afriberta-corpus: a script on `main`; ten languages without configurations on the Parquet branch.

    The branch's head has a folder per language and split. The commits before it hold databases beside the data, or
    the older names. `texts` replaces the training lines of languages.
    """
    name, main = "castorini/afriberta-corpus", "d83da9653ef2a5f823c3693a28018e3009464522"
    head, crowded, older = (
        digits("d9b9950"),
        "7a6ed3d0473f74d7ab5c19aa4242036062a3fedb",
        "23c701cf8fb40858e2a1d451ba8083f0e5ecd9b4",
    )
    lines = {language: list((texts or {}).get(language, sentences(language, rows))) for language in CORPUS}
    script = card("license: apache-2.0\n", "AfriBERTa's corpus") | {
        "afriberta-corpus.py": SCRIPT,
        "dataset_infos.json": b"{}",
    }
    tables: dict[str, Content] = {}
    for language in CORPUS:
        script[f"{language}/train.zip"] = archive(lines[language], f"{language}/train.txt")
        script[f"{language}/eval.zip"] = archive(sentences(f"{language} test", 3), f"{language}/eval.txt")
        train, test = numbered("", len(lines[language]), text=lines[language]), numbered(f"{language} test", 3)
        tables |= {f"{language}/train/0000.parquet": parquet(train), f"{language}/test/0000.parquet": parquet(test)}
    attributes = {".gitattributes": ATTRIBUTES}
    databases = junk(*(path.replace("0000.parquet", "index.duckdb") for path in tables))
    steps = {path: path.split("/") for path in tables}
    old = {f"{steps[path][0]}/afriberta-corpus-{steps[path][1]}.parquet": table for path, table in tables.items()}
    return Repository(
        name,
        "dataset",
        {main: script, head: tables | attributes, crowded: tables | databases | attributes, older: old | attributes},
        {"main": main, PARQUET: head},
        parents={head: crowded, crowded: older},
    )


def masakhaner2_hub(languages: Sequence[str] = ("hau", "swa"), rows: int = 6) -> Repository:
    """masakhane/masakhaner2: a script on `main` and a Parquet branch, with the names of the labels."""
    main, head = "60512e89e68841b6b5ed1be59caf97b169f0d27a", digits("a11b3e2")
    tables = {
        f"{language}/{split}/0000.parquet": parquet(
            numbered("", rows, **tagged(f"{language} {split}", rows, ENTITIES)), {"ner_tags": ENTITIES}
        )
        for language in languages
        for split in ("train", "validation", "test")
    }
    script = card("license: afl-3.0\n", "MasakhaNER 2.0") | {"masakhaner2.py": SCRIPT}
    return Repository(
        "masakhane/masakhaner2",
        "dataset",
        {main: script, head: {".gitattributes": ATTRIBUTES} | tables},
        {"main": main, PARQUET: head},
    )


def wikiann(languages: Sequence[str] = ("sw", "mt"), rows: int = 6) -> Repository:
    """unimelb-nlp/wikiann: Parquet and a configuration per language on `main`; an older commit has one row fewer."""
    tags, main, older = ENTITIES[:7], digits("wikiann"), "7a2c9012c2b36ff541379702e5e39de8b650e4b5"
    front = "license: unknown\nconfigs:\n"
    commits: dict[str, dict[str, Content]] = {main: {}, older: {}}
    for language in languages:
        front += f"- config_name: {language}\n  data_files:\n"
        for split in ("train", "validation", "test"):
            front += f"  - split: {split}\n    path: {language}/{split}-*\n"
            for commit, count in ((main, rows), (older, rows - 1)):
                table = tagged(f"{language} {split}", count, tags)
                table["langs"] = [[language] * len(words) for words in table["tokens"]]
                table["spans"] = [["PER: " + words[0]] for words in table["tokens"]]
                commits[commit][f"{language}/{split}-00000-of-00001.parquet"] = parquet(table, {"ner_tags": tags})
    for files in commits.values():
        files |= card(front, "WikiANN")
    return Repository("unimelb-nlp/wikiann", "dataset", commits, {"main": main}, parents={main: older})


def glotcc(languages: Sequence[str] = ("swh-Latn", "wol-Latn"), rows: int = 6) -> Repository:
    """cis-lmu/GlotCC-V1: a file per language, whose text is in `content`."""
    main = "9aefe79b1f20f2e61b1349e0af1c0bcbc485f11e"
    files = card("license: cc0-1.0\n", "GlotCC")
    for language in languages:
        lines = sentences(language, rows)
        files[f"v1.0/{language}/{language}_0.parquet"] = parquet(
            {
                "content": lines,
                "warc-target-uri": ["http://example.org"] * rows,
                "quality-warnings": [["short"]] * rows,
                "identification-language": [language] * rows,
                "identification-prob": [0.9] * rows,
                "num-sents": [1] * rows,
                "content-length": [len(line) for line in lines],
            }
        )
    return Repository("cis-lmu/GlotCC-V1", "dataset", {main: files}, {"main": main})


def sib200(languages: Sequence[str] = ("swh_Latn", "mlt_Latn"), rows: int = 14) -> Repository:
    """Davlan/sib200: tables with tabs, topics by name, a configuration per language; `dev` is the split validation."""
    main = "38977a667f6fc264d5c26ec57a01e16db040b358"
    front, files = "license: cc-by-sa-4.0\nconfigs:\n", {}
    for language in languages:
        front += f"- config_name: {language}\n  data_files:\n"
        for split, name in (("train", "train"), ("validation", "dev"), ("test", "test")):
            front += f"  - split: {split}\n    path: data/{language}/{name}.tsv\n"
            topics = [TOPICS[row % len(TOPICS)] for row in range(rows)]
            table = {"index_id": range(rows), "category": topics, "text": sentences(f"{language} {split}", rows)}
            files[f"data/{language}/{name}.tsv"] = separated(table, "\t")
        files[f"data/{language}/labels.txt"] = "\n".join(TOPICS).encode()
    return Repository("Davlan/sib200", "dataset", {main: card(front, "SIB-200") | files}, {"main": main})


def sentiment(language: str, rows: int = 8) -> Repository:
    """DGurgurov/<language>_sa: three csv files without configurations; `dev.csv` is the split validation."""
    main, files = digits(SENTIMENT[language]), card("license: mit\n", f"Sentiment in {language}")
    for split in ("train", "dev", "test"):
        table = {"text": sentences(f"{language} {split}", rows), "label": [row % 2 for row in range(rows)]}
        files[f"{split}.csv"] = separated(table)
    return Repository(f"DGurgurov/{language}_sa", "dataset", {main: files}, {"main": main})


def plain_entities(name: str = "someone/entities", rows: int = 6, *, named: bool = True) -> Repository:
    """Words and label numbers as Parquet, in one configuration; the numbers have their names, or none."""
    main = digits(name)
    labels = {"ner_tags": ENTITIES} if named else None
    files = card("license: mit\n", name) | {
        f"data/{split}-00000-of-00001.parquet": parquet(tagged(f"{name} {split}", rows, ENTITIES), labels)
        for split in ("train", "validation", "test")
    }
    return Repository(name, "dataset", {main: files}, {"main": main})


def unusable(name: str = "someone/measurements") -> Repository:
    """A data set without any column of text or words."""
    main = digits(name)
    files = card("license: mit\n", name) | {"train.csv": separated({"height": [1.5, 2.5], "weight": [3.5, 4.5]})}
    return Repository(name, "dataset", {main: files}, {"main": main})


def main() -> None:
    """Serve a folder until interrupted, with one line for each request."""
    parser = argparse.ArgumentParser(description="Play a model hub from a folder that `write` filled.")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    repositories, raw = read(options.folder)

    def say(request: Request) -> None:
        sys.stdout.write(json.dumps(asdict(request)) + "\n")
        sys.stdout.flush()

    with PlayedHub(*repositories, raw=raw, port=options.port, log=say) as hub:
        sys.stdout.write(f"HF_ENDPOINT={hub.address} SMALLER_FETCH_URL={hub.address}\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
