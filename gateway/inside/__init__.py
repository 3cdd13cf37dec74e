"""Corral's inside in Cattle's documents: definitions with their pictures, extension points, processes and their executions."""
