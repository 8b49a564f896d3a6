"""Components of the Dataset page."""
