"""Ways in: the only place that prints, reads the command line and configures logging."""
