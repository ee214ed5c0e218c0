"""The nouns that every package shares: numpy and the standard library, nothing else."""
