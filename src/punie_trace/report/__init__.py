"""HOW it reads: one file for each form."""
