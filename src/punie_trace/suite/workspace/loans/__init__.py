"""Borrowing, returning and fines."""
