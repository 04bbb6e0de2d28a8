"""Sentences as pieces: labels on first pieces, honest counts of what is left out, batches that lose no row."""

import copy

import numpy as np
import pytest
import torch
from tokenizers import normalizers

from smaller.data import sample
from smaller.data.encoding import (
    IGNORED,
    batch_of,
    bio_labels,
    budget_batches,
    encode,
    encode_text,
    pad,
    shuffled_batches,
)
from smaller.data.readers import Sentence
from smaller.errors import SmallerError

LABELS = bio_labels(("PER", "ORG", "LOC", "DATE"))
VARIATION_SELECTOR = "\ufe0f"


@pytest.fixture(scope="module")
def tokenizer(tiny):
    """The sample's tokenizer, dropping variation selectors as those of AfriBERTa and XLM-R do."""
    made = copy.deepcopy(tiny.tokenizer)
    made.backend_tokenizer.normalizer = normalizers.Replace(VARIATION_SELECTOR, "")
    return made


@pytest.fixture(scope="module")
def sentences():
    return list(sample.sentences("yor", "dev"))


def pieces_of(word: str, tokenizer) -> int:
    return len(tokenizer([word], is_split_into_words=True, add_special_tokens=False)["input_ids"])


def test_labels_of_types_are_in_bio_form():
    assert bio_labels(("PER", "LOC")) == ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
    assert len(LABELS) == 9


def test_the_label_stands_on_the_first_piece_of_each_word(sentences, tokenizer):
    encoded = encode(sentences, tokenizer, LABELS)
    assert len(encoded) == len(sentences) and encoded.truncated_words == encoded.words_without_pieces == 0
    for index, sentence in enumerate(sentences):
        labels, words = [IGNORED], [-1]
        for place, (word, tag) in enumerate(zip(sentence.words, sentence.tags, strict=True)):
            further = pieces_of(word, tokenizer) - 1
            labels += [LABELS.index(tag)] + [IGNORED] * further
            words += [place] + [-1] * further
        assert encoded.labels[index].tolist() == [*labels, IGNORED]
        assert encoded.words[index].tolist() == [*words, -1]
        assert encoded.pieces[index][0] == tokenizer.bos_token_id
        assert encoded.pieces[index][-1] == tokenizer.eos_token_id
    assert encoded.lengths.tolist() == [len(row) for row in encoded.pieces]


def test_words_past_the_maximum_length_are_counted(sentences, tokenizer):
    encoded = encode(sentences, tokenizer, LABELS, max_length=12)
    expected = 0
    for sentence, words in zip(sentences, encoded.words, strict=True):
        room, kept = 12 - 2, 0
        for word in sentence.words:
            if room <= 0:
                break
            kept, room = kept + 1, room - pieces_of(word, tokenizer)
        expected += len(sentence.words) - kept
        assert int(words.max()) == kept - 1
    assert encoded.truncated_words == expected > 0
    assert encoded.words_without_pieces == 0
    assert encoded.lengths.max() == 12


def test_words_without_pieces_are_counted_and_shift_no_label(tokenizer):
    sentence = Sentence(
        ("Asha", VARIATION_SELECTOR, "", "Nairobi", "leo"), ("B-PER", "O", "O", "B-LOC", "O")
    )  # fmt: skip
    encoded = encode([sentence], tokenizer, LABELS)
    assert encoded.words_without_pieces == 2 and encoded.truncated_words == 0
    firsts = encoded.words[0] >= 0
    assert encoded.words[0][firsts].tolist() == [0, 3, 4]
    assert [LABELS[label] for label in encoded.labels[0][firsts]] == ["B-PER", "B-LOC", "O"]


def test_a_sentence_that_just_fits_has_no_truncated_word(tokenizer):
    words = ("Asha", "leo")
    length = 2 + sum(pieces_of(word, tokenizer) for word in words)
    encoded = encode([Sentence((*words, ""), ("B-PER", "O", "O"))], tokenizer, LABELS, max_length=length)
    assert (encoded.truncated_words, encoded.words_without_pieces) == (0, 1)


def test_a_sentence_of_words_without_pieces_is_kept(tokenizer):
    encoded = encode([Sentence(("", VARIATION_SELECTOR), ("O", "O"))], tokenizer, LABELS)
    assert encoded.pieces[0].tolist() == [tokenizer.bos_token_id, tokenizer.eos_token_id]
    assert encoded.words_without_pieces == 2
    assert (encoded.labels[0] == IGNORED).all()


def test_orphans_keep_their_label_and_unknown_tags_are_not_trained_on(tokenizer):
    encoded = encode([Sentence(("leo", "Asha", "leo"), ("I-PER", "B-MISC", "O"))], tokenizer, LABELS)
    labels = encoded.labels[0][encoded.words[0] >= 0].tolist()
    assert labels == [LABELS.index("I-PER"), IGNORED, LABELS.index("O")]


def test_unknown_pieces_are_counted(tokenizer):
    encoded = encode([Sentence(("Asha", "漢", "漢字"), ("O",) * 3)], tokenizer, LABELS)
    assert encoded.unknown_pieces == int((encoded.pieces[0] == tokenizer.unk_token_id).sum()) == 2


def test_nothing_to_encode_is_an_error(tokenizer):
    with pytest.raises(SmallerError, match="the split is empty"):
        encode([], tokenizer, LABELS)
    with pytest.raises(SmallerError, match="the corpus is empty"):
        encode_text([], tokenizer)


def test_running_text_is_cut_at_the_maximum_length(tokenizer):
    lines = sample.text("swa")[:50]
    rows, whole = encode_text(lines, tokenizer, max_length=10), encode_text(lines, tokenizer, max_length=500)
    assert len(rows) == 50 and max(map(len, rows)) == 10 < max(map(len, whole))
    assert tokenizer.decode(whole[0], skip_special_tokens=True) == lines[0]


def test_a_batch_is_padded_at_the_right(sentences, tokenizer):
    encoded = encode(sentences, tokenizer, LABELS)
    rows = [3, 0, 7]
    batch = batch_of(encoded, rows, padding=tokenizer.pad_token_id)
    assert batch.pieces.shape == batch.mask.shape == batch.labels.shape == (3, max(encoded.lengths[rows]))
    assert list(batch.rows) == rows and batch.mask.dtype == torch.bool
    for place, row in enumerate(rows):
        length = encoded.lengths[row]
        assert torch.equal(batch.pieces[place, :length], encoded.pieces[row])
        assert torch.equal(batch.labels[place, :length], encoded.labels[row])
        assert batch.mask[place].tolist() == [True] * length + [False] * (batch.mask.shape[1] - length)
        assert (batch.pieces[place, length:] == tokenizer.pad_token_id).all()
        assert (batch.labels[place, length:] == IGNORED).all()
    assert pad([torch.tensor([1, 2]), torch.tensor([3])], value=9).tolist() == [[1, 2], [3, 9]]


@pytest.fixture(scope="module")
def lengths():
    return np.clip(np.random.default_rng(0).lognormal(3, 0.6, size=1234).astype(np.int64), 3, 164)


@pytest.mark.parametrize("size", [1, 16, 100, 5000])
def test_an_epoch_has_every_row_once_in_as_many_batches_as_plain_batching(lengths, size):
    batches = shuffled_batches(lengths, size=size, generator=np.random.default_rng(1))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert len(batches) == -(-len(lengths) // size)
    assert sum(len(batch) != size for batch in batches) == (len(lengths) % size > 0)


def padding_share(lengths, batches):
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    return 1 - lengths.sum() / padded


def test_padding_is_a_few_per_cent(lengths):
    generator = np.random.default_rng(1)
    shuffled = shuffled_batches(lengths, size=16, generator=generator)
    plain = np.array_split(generator.permutation(len(lengths)), len(shuffled))
    assert padding_share(lengths, shuffled) < 0.06 < 0.4 < padding_share(lengths, plain)
    assert padding_share(lengths, list(budget_batches(lengths))) < 0.2


def test_the_generator_decides_the_order(lengths):
    def epochs(seed, count=2):
        generator = np.random.default_rng(seed)
        return [[batch.tolist() for batch in shuffled_batches(lengths, size=16, generator=generator)]
                for _ in range(count)]  # fmt: skip

    assert epochs(1) == epochs(1)
    assert epochs(1) != epochs(2)
    first, second = epochs(1)
    assert first != second
    # Which sentences meet in a batch changes too, and short ones do not come before long ones.
    assert {frozenset(batch) for batch in first} != {frozenset(batch) for batch in second}
    longest = [lengths[batch].max() for batch in first]
    assert longest != sorted(longest)


@pytest.mark.parametrize("budget", [1, 500, 4096])
def test_inference_batches_hold_every_row_once_within_their_budget(lengths, budget):
    batches = list(budget_batches(lengths, budget=budget))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * lengths[batch].max() <= budget
