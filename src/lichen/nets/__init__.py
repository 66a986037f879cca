"""nets: what a model is: one file per architecture."""
