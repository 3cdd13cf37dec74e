"""The agent process and its drivers; wire.py is what the rest of Corral may know of them."""
