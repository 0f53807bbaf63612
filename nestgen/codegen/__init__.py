"""From a graph and templates to source text, and from source text to a module."""
