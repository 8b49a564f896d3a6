"""Tuned models and local inference: model store, weights cache, batched decoding, model server and client."""
