"""Agents of ssh:// uris: the server logs in to their machines, and runs the one-file agent there for as long as they are wanted."""
