"""Components of the Syllabi page."""
