"""engine: the loops everyone shares: fit, answer, evaluate, measure."""
