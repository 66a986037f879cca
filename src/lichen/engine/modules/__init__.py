"""modules: torch nets: built from their addresses, wrapped into Models and back, looked through, changed."""
