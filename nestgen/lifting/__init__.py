"""The grid of a network that nestgen did not write."""
