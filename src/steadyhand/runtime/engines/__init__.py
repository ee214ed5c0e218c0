"""Engines execute one exported graph: one file per engine."""
