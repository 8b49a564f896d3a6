"""Supervised fine-tuning of models on snapshots."""
