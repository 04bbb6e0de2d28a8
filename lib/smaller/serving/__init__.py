"""A shipped graph in use: text to labels without PyTorch or Transformers, in a stream too; what any reader answers."""
