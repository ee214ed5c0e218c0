"""The stages a recipe is made of: one file per kind, and a literal catalog."""
