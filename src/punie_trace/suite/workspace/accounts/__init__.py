"""Members of the library and their profiles."""
