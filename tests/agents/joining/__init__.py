"""How agents register, join, and show who they are."""
