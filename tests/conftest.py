"""What every test shares: slow machines are not failures of a property."""

from hypothesis import settings

settings.register_profile("steadyhand", deadline=None)
settings.load_profile("steadyhand")
