"""decision: agents that learn by acting: their parts, their loop, their episodes."""
