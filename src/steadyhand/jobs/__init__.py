"""Recipes, the graph of content-hashed stages, and the runs that come out of them."""
