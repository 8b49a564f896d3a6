"""Components of the Homework page."""
