"""Immutable bytes under their hash, manifests, tensors and signatures."""
