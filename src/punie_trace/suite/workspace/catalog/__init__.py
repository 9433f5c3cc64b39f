"""Authors, books and their copies."""
