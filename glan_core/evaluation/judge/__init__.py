"""Pairwise judge: matches between two models on a held-out test."""
