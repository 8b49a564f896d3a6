"""The mark of placeholder text of the scripted teacher, for disciplines without a textbook."""

SCAFFOLD = "[scaffold]"
