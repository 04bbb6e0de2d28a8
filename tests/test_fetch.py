import hashlib
import http.server
import socket
import threading
from dataclasses import replace

import pytest

from smaller.base.errors import SmallerError
from smaller.base.settings import changed
from smaller.data import splits
from smaller.data.datasets import Dataset, Source, dataset
from smaller.data.fetch import fetch, source_url, wanted
from smaller.data.files import find

FILES = {
    "/team/names/c0ffee/data/swa/train.txt": b"Asha B-PER\n" * 20_000,
    "/team/names/c0ffee/data/swa/test.txt": b"Kisumu B-LOC\n",
}


FILES_OF = ("train", "test")


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.files`, and ends early or fails as the test asks."""

    def do_GET(self):
        server = self.server
        server.requests.append((self.path, self.headers.get("User-Agent")))
        content = server.files.get(self.path)
        if content is None or server.failures > 0:
            server.failures -= 1
            self.send_error(404 if content is None else 503)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if server.cuts > 0:
            server.cuts -= 1
            content = content[: len(content) // 2]
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch, rooms, tmp_path):
    rooms(cache=tmp_path / "cache", data=None)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # pooch waits between its attempts
    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server,
        changed(no_proxy="*", HF_HUB_OFFLINE=None, SMALLER_FETCH_URL=f"http://127.0.0.1:{server.server_port}/"),
    ):
        server.files, server.requests, server.cuts, server.failures = dict(FILES), [], 0, 0
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def names():
    return Dataset(
        name="names",
        task="ner",
        tags=("PER", "LOC"),
        sources={
            "swa": Source(
                layout="names/{language}/{split}.txt",
                repository="team/names",
                commit="c0ffee",
                path="data/{language}/{split}.txt",
            )
        },
        splits=("train", "test"),
        licence="CC BY-NC 4.0",
        non_commercial=True,
        citation="",
        url="",
        checksums={
            f"names/swa/{path.rpartition('/')[2]}": hashlib.sha256(text).hexdigest() for path, text in FILES.items()
        },
    )


def left_over(tmp_path):
    return [path.name for path in tmp_path.rglob("*.whole")]


def brought(server, names) -> list[str]:
    """Fetch, and say of which splits the server was asked."""
    server.requests.clear()
    assert all(file.present for file in fetch(names))
    return [path.rpartition("/")[2].removesuffix(".txt") for path, _ in server.requests]


def test_fetched_files_are_found_and_carry_their_licence(server, names, tmp_path):
    assert [(file.split, file.present) for file in wanted(names)] == [("train", False), ("test", False)]
    heard = []
    fetched = fetch(names, say=heard.append)
    assert [(file.split, file.path) for file in fetched] == [(split, find(names, "swa", split)) for split in FILES_OF]
    assert find(names, "swa", "train").read_bytes() == FILES["/team/names/c0ffee/data/swa/train.txt"]
    assert splits.sentences(names, "swa", "test")[0].words == ("Kisumu",)
    assert heard == ["names swa train: downloaded, 0.2 MB (1 of 2)", "names swa test: downloaded, 0.0 MB (2 of 2)"]
    assert not left_over(tmp_path)


def test_a_second_call_makes_no_request_even_offline(server, names):
    fetch(names)
    with changed(HF_HUB_OFFLINE="1"):
        assert brought(server, names) == []


def test_files_of_the_data_folder_need_no_download(server, names, rooms, tmp_path):
    for path, content in FILES.items():
        file = tmp_path / "own" / "names" / "swa" / path.rpartition("/")[2]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    rooms(data=tmp_path / "own")
    assert brought(server, names) == []


def test_a_damaged_file_in_the_cache_is_replaced(server, names):
    train = fetch(names)[0].path
    train.write_bytes(b"Asha O\n")
    assert brought(server, names) == ["train"]
    assert train.read_bytes() == FILES["/team/names/c0ffee/data/swa/train.txt"]


def test_a_broken_connection_is_tried_again_and_a_killed_call_goes_on_with_the_next_file(server, names, tmp_path):
    server.cuts = 2
    assert brought(server, names) == ["train", "train", "train", "test"]
    find(names, "swa", "test").unlink()
    server.cuts = 9
    with pytest.raises(SmallerError, match="test.txt: cannot be downloaded .*keeps the files that have arrived"):
        fetch(names)
    assert not left_over(tmp_path)
    server.cuts = 0
    assert brought(server, names) == ["test"]


def test_a_wrong_checksum_removes_the_file_and_says_what_to_do(server, names, tmp_path):
    url = source_url(names, "swa", "test")
    server.files["/team/names/c0ffee/data/swa/test.txt"] = wrong = b"Kisumu B-ORG\n"
    with pytest.raises(SmallerError) as caught:
        fetch(names)
    message = str(caught.value)
    for part in (url, hashlib.sha256(wrong).hexdigest(), names.checksums["names/swa/test.txt"], "Fetch again"):
        assert part in message
    assert not left_over(tmp_path)
    with pytest.raises(SmallerError, match="not on this machine"):
        find(names, "swa", "test")
    assert find(names, "swa", "train").is_file()


def test_a_file_that_is_not_at_its_source_is_an_error_at_once(server, names):
    server.files.clear()
    with pytest.raises(SmallerError, match="data/swa/train.txt: the server answered 404 Not Found"):
        fetch(names)
    assert len(server.requests) == 1


def test_a_server_in_trouble_is_asked_again(server, names):
    server.failures = 2
    assert brought(server, names) == ["train", "train", "train", "test"]
    server.failures = 9
    find(names, "swa", "test").unlink()
    with pytest.raises(SmallerError, match="cannot be downloaded .503"):
        fetch(names)


def test_no_network_is_one_error_with_address_and_remedy(server, names):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        message = "http://127.0.0.1:.*train.txt: cannot be downloaded .*SMALLER_DATA"
        with (
            changed(SMALLER_FETCH_URL=f"http://127.0.0.1:{closed.getsockname()[1]}"),
            pytest.raises(SmallerError, match=message),
        ):
            fetch(names)


def test_offline_with_files_missing_is_an_error_without_a_request(server, names):
    message = "2 of 2 files are missing.*HF_HUB_OFFLINE forbids"
    with changed(HF_HUB_OFFLINE="1"), pytest.raises(SmallerError, match=message):
        fetch(names)
    assert server.requests == []


def test_a_cache_that_cannot_be_written_is_an_error(server, names, rooms, tmp_path):
    (tmp_path / "file").write_text("")
    rooms(cache=tmp_path / "file")
    with pytest.raises(SmallerError, match="cannot be written .*SMALLER_CACHE"):
        fetch(names)


def test_universal_ner_columns_are_converted_before_the_check(server, names):
    server.files["/team/names/c0ffee/data/swa/test.txt"] = (
        b"# sent_id = 1\n# text = Asha\n1\tAsha\tB-PER\t-\tme\n2\t,\tO\t-\t-\n\n"
        b"# sent_id = 2\n1\tMswahili\tB-OTH\t-\tme\n2\tKisumu\tB-LOC\t-\tme\n\n"
    )
    converted = b"Asha B-PER\n, O\n\nMswahili O\nKisumu B-LOC\n"
    uner = replace(
        names,
        sources={"swa": replace(names.sources["swa"], converted=True)},
        splits=("test",),
        checksums={"names/swa/test.txt": hashlib.sha256(converted).hexdigest()},
    )
    assert fetch(uner)[0].path.read_bytes() == converted
    server.files["/team/names/c0ffee/data/swa/test.txt"] = b"<html>Please sign in</html>\xff"
    find(uner, "swa", "test").unlink()
    with pytest.raises(SmallerError, match="SHA-256 of what arrived"):
        fetch(uner)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fetch("corpus"), "'corpus' cannot be fetched.*SMALLER_DATA"),
        (lambda: fetch("masakhanr"), "Did you mean 'masakhaner'"),
        (lambda: fetch("masakhaner", languages=["fon"]), r"no Fon \(fon\) in masakhaner"),
        (lambda: fetch(["masakhaner"], languages=["Swahili"]), "Did you mean 'swa'"),
    ],
)
def test_what_cannot_be_fetched_is_an_error_before_any_request(server, call, message):
    with pytest.raises(SmallerError, match=message):
        call()
    assert server.requests == []


def test_the_real_addresses_are_pinned():
    base = "https://raw.githubusercontent.com"
    masakhane = f"{base}/masakhane-io/masakhane-ner/ba5843cd08aa491d5f96a5e809e71eb9ec461391"
    assert source_url(dataset("masakhaner"), "swa", "dev") == f"{masakhane}/data/swa/dev.txt"
    assert source_url(dataset("masakhaner2"), "fon", "dev") == f"{masakhane}/MasakhaNER2.0/data/fon/dev.txt"
    assert source_url(dataset("uner"), "slk", "dev").endswith("/sk_snk-ud-dev.iob2")
    with changed(SMALLER_FETCH_URL="file:///etc"), pytest.raises(SmallerError, match="SMALLER_FETCH_URL"):
        source_url(dataset("uner"), "slk", "dev")
