"""Recorded episodes: LeRobot v3.0 datasets that survive a crash, and what training reads."""
