"""What a file, a spec or a network is, and what it costs: read, and never run."""
