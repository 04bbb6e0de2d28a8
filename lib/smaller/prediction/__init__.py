"""What a model answers: labels of words and texts, by the same code in scoring and in use, and entities in text."""
