import gzip
import hashlib
import os
from pathlib import Path

import pytest

from smaller.base.errors import SmallerError
from smaller.data.datasets import DATASETS, Dataset, Source, dataset
from smaller.data.files import content_checksum, find, fingerprint, read_content

real_data = pytest.mark.skipif(not os.environ.get("SMALLER_DATA"), reason="needs the data sets: set SMALLER_DATA")

CONTENT = {"train": b"Asha B-PER\n", "test": b"Kisumu B-LOC\n"}


@pytest.fixture
def tiny():
    return Dataset(
        name="tiny",
        task="ner",
        tags=("PER", "LOC"),
        sources={"swa": Source(layout="tiny/{language}/{split}.txt", repository="a/b", commit="c", path="{split}.txt")},
        splits=("train", "test"),
        licence="CC BY 4.0",
        non_commercial=False,
        citation="",
        url="",
        checksums={f"tiny/swa/{split}.txt": hashlib.sha256(text).hexdigest() for split, text in CONTENT.items()},
    )


@pytest.fixture
def folders(tmp_path, rooms):
    data, cache = tmp_path / "da ta", tmp_path / "cache"
    data.mkdir()
    rooms(data=data, cache=cache)
    return data, cache / "data"


def write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


def test_find_prefers_the_data_folder_to_the_cache_and_plain_to_gz(tiny, folders):
    data, cache = folders
    places = [
        write(cache, "tiny/swa/train.txt.gz", CONTENT["train"]),
        write(cache, "tiny/swa/train.txt", CONTENT["train"]),
        write(data, "tiny/swa/train.txt.gz", CONTENT["train"]),
        write(data, "tiny/swa/train.txt", CONTENT["train"]),
    ]
    for path in reversed(places):
        assert find(tiny, "swa", "train") == path
        path.unlink()


def test_a_missing_file_names_the_places_searched_and_both_remedies(folders):
    data, cache = folders
    with pytest.raises(SmallerError) as caught:
        find("masakhaner", "swa", "test")
    message = str(caught.value)
    assert f"{data}/masakhaner/swa/test.txt\n" in message
    assert f"{cache}/masakhaner/swa/test.txt.gz\n" in message
    assert "Set SMALLER_DATA to a folder that holds masakhaner/swa/test.txt" in message
    assert "python -m smaller fetch masakhaner" in message


def test_fetching_is_no_remedy_for_the_derived_corpus(folders):
    with pytest.raises(SmallerError) as caught:
        find("corpus", "swa", "train")
    assert "smaller fetch" not in str(caught.value)


def test_a_data_folder_that_is_not_there_is_an_error(tiny, rooms, tmp_path):
    rooms(data=tmp_path / "nowhere")
    with pytest.raises(SmallerError, match="SMALLER_DATA is .*nowhere"):
        find(tiny, "swa", "train")


def test_the_fingerprint_is_of_the_content_not_of_its_form(tiny, folders):
    data, _ = folders
    write(data, "tiny/swa/train.txt", CONTENT["train"])
    test = write(data, "tiny/swa/test.txt", CONTENT["test"])
    plain = fingerprint(tiny, "swa")
    test.unlink()
    write(data, "tiny/swa/test.txt.gz", CONTENT["test"])
    assert fingerprint(tiny, "swa") == plain
    write(data, "tiny/swa/train.txt", b"Asha B-LOC\n\n")
    assert fingerprint(tiny, "swa") != plain


def test_an_unchanged_file_is_hashed_once(tiny, folders):
    path = write(folders[0], "tiny/swa/train.txt", CONTENT["train"])
    before, changed = content_checksum(path), path.stat().st_mtime_ns
    assert before == hashlib.sha256(CONTENT["train"]).hexdigest()
    path.write_bytes(CONTENT["train"].replace(b"PER", b"LOC"))
    os.utime(path, ns=(changed, changed))
    assert content_checksum(path) == before, "by its time and size it is the same file, which nobody reads again"
    os.utime(path, ns=(0, 0))
    assert content_checksum(path) != before


def test_a_truncated_gz_is_an_error_with_its_name(tmp_path):
    path = tmp_path / "dev.txt.gz"
    path.write_bytes(gzip.compress(b"Asha B-PER\n" * 99)[:-12])
    with pytest.raises(SmallerError, match="dev.txt.gz: not a whole gzip file"):
        read_content(path)


def test_a_folder_and_nothing_at_all_cannot_be_read(tmp_path):
    with pytest.raises(SmallerError, match="no such file"):
        read_content(tmp_path / "dev.txt")
    with pytest.raises(SmallerError, match="cannot be read"):
        read_content(tmp_path)


@real_data
def test_the_real_files_have_the_pinned_checksums():
    verified = set()
    for known in DATASETS.values():
        for code in known.languages:
            pinned = [split for split in known.splits_of(code) if known.file(code, split) in known.checksums]
            for split in pinned if not known.source(code).hub else ():
                assert content_checksum(find(known, code, split)) == known.checksums[known.file(code, split)]
                verified.add(known.file(code, split))
    assert verified == set(dataset("masakhaner").checksums)
