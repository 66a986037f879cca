"""deploy: executables that answer as the model does."""
