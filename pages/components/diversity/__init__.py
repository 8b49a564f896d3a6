"""Components of the Diversity page."""
