"""What looks on beside the engine: presence, endings, tasks, announcements, settings, and what is forgotten or kept short in time."""
