"""tasks: what is learnt: one file per task."""
