"""How diverse the data is: embeddings, maps, measures, and comparisons with other datasets."""
