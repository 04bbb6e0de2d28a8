"""Sentences as pieces: labels on first pieces, honest counts of what is left out, batches that lose no row."""

import copy

import numpy as np
import pytest
import torch
from tokenizers import normalizers

from smaller.base.errors import SmallerError
from smaller.data import sample
from smaller.data.encoding import IGNORED, batch_of, encode, encode_text, pad, shuffled_batches
from smaller.data.examples import Sentence, Text
from smaller.data.tasks import bio_labels
from smaller.data.tokens import budget_batches, windows

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
    sentence = Sentence(("Asha", VARIATION_SELECTOR, "", "Nairobi", "leo"), ("B-PER", "O", "O", "B-LOC", "O"))
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
    encoded = encode([Sentence(("Asha", "漢", "漢字"), ("O",) * 3), Sentence(("Asha",), ("O",))], tokenizer, LABELS)
    assert int((encoded.pieces[0] == tokenizer.unk_token_id).sum()) == 2 and encoded.unknown == [2, 0]
    texts = [Text("Asha 漢字a漢 leo 漢", "b"), Text("leo", "a"), Text("leo " * 9 + "漢", "a")]
    assert encode(texts, tokenizer, ("a", "b"), max_length=8).unknown == [2, 0, 1]


@pytest.mark.parametrize("max_length", [12, 40, 500])
def test_a_sentence_that_is_read_whole_has_each_word_once(sentences, tokenizer, max_length):
    long = [Sentence(one.words * 4, one.tags * 4) for one in sentences[:10]]
    given = [Sentence((*long[0].words, VARIATION_SELECTOR), (*long[0].tags, "O")), *long[1:], *sentences[:5]]
    encoded = encode(given, tokenizer, LABELS, max_length=max_length, whole=True)
    assert encoded.truncated_words == 0 and encoded.without == [1] + [0] * 14 and encoded.lengths.max() <= max_length
    assert len(encoded) == sum(encoded.parts) and (max(encoded.parts) > 1) == (max_length < 500)
    rows = iter(zip(encoded.pieces, encoded.labels, encoded.words, strict=True))
    for sentence, parts in zip(given, encoded.parts, strict=True):
        found = {}
        for pieces, labels, words in (next(rows) for _ in range(parts)):
            assert pieces[0] == tokenizer.bos_token_id and pieces[-1] == tokenizer.eos_token_id
            for position in (words >= 0).nonzero().flatten().tolist():
                word = int(words[position])
                first = tokenizer([sentence.words[word]], is_split_into_words=True)["input_ids"][1]
                assert word not in found and int(pieces[position]) == first
                found[word] = LABELS[int(labels[position])]
            assert (labels[words < 0] == IGNORED).all()
        there = [place for place, word in enumerate(sentence.words) if word != VARIATION_SELECTOR]
        assert [found[place] for place in sorted(found)] == [sentence.tags[place] for place in there]


def test_what_fits_is_the_same_whole_as_cut(sentences, tokenizer):
    whole, cut = (encode(sentences, tokenizer, LABELS, whole=choice) for choice in (True, False))
    assert whole.parts == [1] * len(sentences)
    for name in ("pieces", "labels", "words"):
        assert all(map(torch.equal, getattr(whole, name), getattr(cut, name)))


def test_no_row_is_longer_than_what_the_tokenizer_s_model_reads(sentences, tokenizer):
    short = copy.deepcopy(tokenizer)
    short.model_max_length = 10
    assert encode(sentences, short, LABELS).lengths.max() == 10
    assert encode(sentences, short, LABELS, max_length=6).lengths.max() == 6
    assert encode([Text("leo " * 30, "a")], short, ("a",)).lengths.tolist() == [10]
    assert max(map(len, encode_text(sample.text("swa")[:50], short))) == 10


@pytest.mark.parametrize(
    "sizes", [[1] * 5, [1] * 100, [3, 1, 4, 1, 5, 9, 2, 6] * 20, [50, 1, 1, 50, 1], [0, 1, 0] * 30]
)
def test_windows_fit_and_keep_every_word_once(sizes):
    room, kept, before = 20, [], -1
    for first, last, kept_from, kept_to in windows(sizes, room=room):
        assert sum(sizes[first:last]) <= room or last == first + 1
        assert first <= kept_from <= kept_to <= last
        assert first > before
        kept += range(kept_from, kept_to)
        before = first
    assert kept == list(range(len(sizes)))


def test_windows_are_kept_where_they_are_far_from_a_border():
    assert list(windows([1] * 32, room=20)) == [(0, 20, 0, 18), (15, 32, 18, 32)]


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
        return [
            [batch.tolist() for batch in shuffled_batches(lengths, size=16, generator=generator)] for _ in range(count)
        ]

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
