"""Components of the Taxonomy page and the dialog that adds a discipline."""
