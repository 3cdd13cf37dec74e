"""Who may speak over NATS, and of what: NATS asks an engine about everybody who connects, and the engine asks the log (decision 0019)."""
