"""Policies as torch networks, and how they are kept on disk."""
