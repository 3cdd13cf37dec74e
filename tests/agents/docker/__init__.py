"""The Docker driver, pure and against a real engine."""
