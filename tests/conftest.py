"""What holds for all tests."""

from hypothesis import settings

# A law says what is true, not how fast on a machine that does other things beside: benchmarks measure.
settings.register_profile("untimed", parent=settings(), deadline=None)
settings.load_profile("untimed")
