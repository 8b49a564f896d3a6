"""Ray clusters: settings, connection, and pipelines of Ray Data; needs the packages of requirements-ray.txt, here and on every node."""
