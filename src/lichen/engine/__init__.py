"""engine: the loops everyone shares: fit, answer, decode, rollout, evaluate, measure; their parts in folders."""
