"""Robots the runtime can drive: one file per robot or driver."""
