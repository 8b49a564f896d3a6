"""The scripted teacher: a deterministic offline teacher for demos and tests, in-process or over HTTP."""
