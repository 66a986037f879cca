"""programs: executables: made out of Models, run, timed, and checked against what they were made from."""
