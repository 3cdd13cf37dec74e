"""The read side: views folded from the log, disposable, and the queries over them. Knows the log, the fold and the catalogue; no HTTP."""
