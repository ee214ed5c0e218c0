"""From simulation and demonstrations to a robot that keeps its deadlines."""

__version__ = "0.1.0"
