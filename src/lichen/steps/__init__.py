"""steps: what happens to a model, in the order of its life: one folder per stage, one file per step."""
