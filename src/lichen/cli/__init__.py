"""cli: the door: one file per family of verbs."""
