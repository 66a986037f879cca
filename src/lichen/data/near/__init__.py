"""near: rows of two splits that show or say nearly the same; one file per kind of row."""
