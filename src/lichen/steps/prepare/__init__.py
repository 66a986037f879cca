"""prepare: bring data into the record."""
