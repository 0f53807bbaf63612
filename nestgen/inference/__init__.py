"""Trained networks at work: the labels that a network gives an image."""
