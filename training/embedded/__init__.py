"""Trains the embedded model from scratch: `python -m training.embedded`."""
