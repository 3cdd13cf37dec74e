"""The herd's habits: POST / with an action about containers, answered in the engine's own words (docs/herd.md)."""
