"""The command ``steady``: one file per verb."""
