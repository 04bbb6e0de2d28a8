"""What a model answers: labels of words and texts, in batches, and tags for text as people write it.

The same code scores a model, tags with it, and streams through it.
"""
