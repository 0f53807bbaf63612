"""Weights of others: what their networks are called here, and the proof of it."""
