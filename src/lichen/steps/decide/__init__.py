"""decide: an agent learns what to do from what it earns."""
