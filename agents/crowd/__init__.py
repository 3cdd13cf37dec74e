"""Simulated hosts by the thousand in one process, which misbehave as a seed decides: `corral sim` runs them."""
