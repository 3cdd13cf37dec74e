"""The whole write side in one thread of virtual time: a seed decides what happens and in which order (docs/decisions/0009)."""
