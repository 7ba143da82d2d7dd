"""Retries: which outcomes, how often, after which wait, and within which budget."""
