"""Cutting networks at a level: on their graph, by torch.fx, and the proof of both."""
