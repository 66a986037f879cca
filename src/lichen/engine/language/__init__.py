"""language: language models: adopted, prompted, tuned, and written for others to open."""
