"""Resource types and processes as data: model.py is their vocabulary, types/ and processes/ what Corral ships, builtin.py the whole."""
