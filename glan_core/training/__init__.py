"""Fine-tuning a student on a snapshot, and the models that came of it."""
