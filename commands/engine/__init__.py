"""Carrying out: follows the log, gives each root its turns, appends what they draft, and sends what they ask for."""
