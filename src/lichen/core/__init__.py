"""core: what a value, a step, a decision and a lineage are. Knows arrays, not torch."""
