"""WHAT is asked: load suites, check answers, and the shipped suites with their sample workspace."""
