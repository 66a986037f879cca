"""inputs: what a row is to a net: pixels, tokens, a table's numbers, what an agent sees."""
