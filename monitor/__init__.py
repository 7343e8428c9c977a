"""The daemon: everything that touches the world, and no opinions."""

__version__ = "0.1.0"
