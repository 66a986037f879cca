"""engine: the loops everyone shares: fit, answer, decode, rollout, evaluate; their parts in folders."""
