"""generate: rows that nobody recorded, and what they are worth."""
