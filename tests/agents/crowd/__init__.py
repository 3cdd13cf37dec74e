"""Crowds of simulated hosts."""
