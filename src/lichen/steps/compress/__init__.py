"""compress: smaller and faster, without losing what it knew."""
