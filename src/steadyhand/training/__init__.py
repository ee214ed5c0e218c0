"""One module per training algorithm, and the shared pieces they resume exactly with."""
