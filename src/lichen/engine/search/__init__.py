"""search: choices within a life, searched as games, and trainings repeated to judge them."""
