"""What was: the log itself as pages and streams, the causes of a state, and any resource as of a moment (?at=)."""
