"""How machines join: registration tokens, the scripts that they are given, and the keys that only who registered reads."""
