"""The arm as arithmetic: forward and inverse kinematics and limits, numpy only."""
