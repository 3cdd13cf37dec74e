"""The decisions that are more than a table: pure functions of a turn, named by the catalogue's processes."""
