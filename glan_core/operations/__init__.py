"""Installation check and demo workspace."""
