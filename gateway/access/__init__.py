"""Who asks, how often they may, and what is there for them."""
