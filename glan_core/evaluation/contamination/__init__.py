"""Contamination probe: compares a model's loss on training, test and look-alike rows of a benchmark."""
