"""Exporters of finished numbers to other trackers; never in the way of a run."""
