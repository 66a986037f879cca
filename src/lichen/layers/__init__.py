"""layers: what nets of tokens share: attention, its cache, turning, norms, blocks."""
