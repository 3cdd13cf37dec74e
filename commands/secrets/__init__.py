"""Secrets: sealed before an append, opened before use, in clear nowhere between; passwords as hashes, pairs of keys."""
