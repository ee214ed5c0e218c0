"""One module per simulated task."""
