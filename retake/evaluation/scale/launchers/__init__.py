"""Who starts the workers of a run, ends them, and sees when one has ended: one way a file."""
