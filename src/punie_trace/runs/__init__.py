"""A run on disk: its header, its writer and its reader."""
