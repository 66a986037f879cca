"""assess: what a model is worth."""
