"""What operators can change: the settings there are, which source's value is in force, and their rows in the log."""
