"""Broken parts, which the simulation must find."""
from tests.simulation.world import Parts
MUTATIONS = {}
