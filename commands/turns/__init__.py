"""Deciding, pure: a turn reads a world (the resources of one root, and the fleet), takes in what came, and drafts one append."""
