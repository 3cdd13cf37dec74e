"""Wiring: the composition root, settings, the CLI, the embedded servers and the lab. It may import all; nothing imports it."""
