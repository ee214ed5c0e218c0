"""Simulated worlds: tasks, rendering, and a simulated arm that runs in real time."""
