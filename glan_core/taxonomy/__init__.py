"""The taxonomy: its structure, file formats, editing and coverage."""
