"""Executors: where independent units of work run."""
