"""Generation: the engine that sends calls, the stages of a run, plans, previews, regeneration and provenance."""
