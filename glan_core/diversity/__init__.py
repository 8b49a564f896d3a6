"""Embeddings, diversity maps, diversity metrics, and comparisons with other datasets."""
