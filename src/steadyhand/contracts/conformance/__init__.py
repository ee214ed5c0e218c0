"""Conformance kits: what every environment, policy, robot, engine, executor and store must do.

Each ``check_*`` function takes one implementation, tries every rule of its protocol and raises one
ConformanceError that lists all that do not hold. They run without a test framework, so that they
also serve to bring up new hardware.
"""
