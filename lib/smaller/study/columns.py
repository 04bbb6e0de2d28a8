"""The columns of the table, which has a row for each recipe and evaluation set, and what each of them says."""

from __future__ import annotations

from collections.abc import Callable

MEANINGS = {
    "identity": "sixteen digits that stand for the encoder and the steps",
    "label": "the recipe in one line",
    "encoder": "the name that the recipe starts from",
    "dataset": "the data set that was scored on",
    "language": "its language, or several with plus signs",
    "split": "dev or test",
    "noise": "what was done to the text: a kind of noise, attack or unlabelled; empty for nothing",
    "rate": "of that noise, from 0 to 1",
    "noise_seed": "from which the noise was drawn",
    "trained_on": "data set/language of the last fine-tuning",
    "seed": "of the last fine-tuning",
    "technique": "what the steps make of the model, with plus signs; dense for nothing",
    "order": "of pruning: before or after fine-tuning; dense without a technique, else empty",
    "sparsity": "the share of the weights in its scope that pruning sets to zero, from 0 to 1",
    "method": "how what goes was chosen: magnitude, random, or another way of the step",
    "scope": "within what it was ranked: global or layer",
    "include": "what is pruned: linear, or embeddings too",
    "on": "what the student learned on: corpus or task",
    "temperature": "of the distillation",
    "start": "what the weights of a student, or of a model with fewer layers, begin as",
    "layer_map": "which layers it keeps",
    "form": "the format: see formats.FORMATS, and trained for a model as training leaves it",
    "bits": "to which weights were rounded",
    "part": "whose weights were rounded",
    "adapter": "how many times narrower than the hidden states the adapters are; 0 for none",
    "layers": "of the model",
    "heads": "of attention in a layer",
    "hidden": "width of the hidden states",
    "feed_forward": "neurons of a feed-forward layer",
    "vocabulary": "tokens",
    "task": "what the data set is for",
    "metric": "which score is the main one of the task",
    "score": "the main score, in points",
    "f1": "of spans, in points",
    "accuracy": "in points",
    "macro_f1": "of classes, in points",
    "precision": "of spans, in points",
    "recall": "of spans, in points",
    "loss": "the cross-entropy of the labels",
    "calibration_error": "how far confidence and accuracy are apart, in points",
    "support": "how many spans, words or texts are labelled",
    "sentences": "in the set",
    "confidence": "the mean probability of the labels that the model gives, in points",
    "tagged": "the share of words that the model takes for entities, in points, where labels are not looked at",
    "f1_before": "f1 of the same sentences without the attack",
    "right_before": "how many sentences were tagged rightly without the attack",
    "attack_success": "the share of these that the attack turns wrong, in per cent",
    "random_success": "the share that random edits within the same budget turn wrong, in per cent",
    "attack_edits": "how many edits it takes, in the mean",
    "parameters": "of the network",
    "nonzero_parameters": "those that are not zero",
    "achieved_sparsity": "the share of the weights that masks hold at zero",
    "shipped_bytes": "of the folder that ships, without its README; sizes are compared in these",
    "dense_bytes": "of the weights in memory",
    "compressed_bytes": "what zlib leaves of them",
    "end_to_end_milliseconds": "for a sentence, from text to labels",
    "milliseconds": "the network's part of them, from token ids to logits",
    "milliseconds_low": "the lower end of its interval",
    "milliseconds_high": "the upper end of it",
    "training_seconds": "of all steps together",
    "scoring_seconds": "of this set",
    "device": "on which it was measured",
}
"""What each column says. What a record of an earlier version lacks is NaN."""


def explained(function: Callable) -> Callable:
    """A function that returns the table, whose help lists the columns."""
    width = max(map(len, MEANINGS))
    lines = [f"    {name:{width}}  {said}" for name, said in MEANINGS.items()]
    function.__doc__ = f"{function.__doc__.rstrip()}\n\n    The columns:\n\n" + "\n".join(lines) + "\n    "
    return function
