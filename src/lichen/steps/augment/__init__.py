"""augment: more examples from the same rows."""
