"""report: reads lineages and events, draws; nothing below knows it."""
