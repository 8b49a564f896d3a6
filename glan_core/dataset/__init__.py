"""The dataset: what is taken away from a workspace."""
