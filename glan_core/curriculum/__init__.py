"""Subjects, syllabi, class sessions and key concepts: parsing, editing and export."""
