"""Training with deep supervision, and choosing the level that is enough."""
