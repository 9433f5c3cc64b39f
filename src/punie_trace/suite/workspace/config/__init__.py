"""Project package: settings, root URLs and middleware."""
