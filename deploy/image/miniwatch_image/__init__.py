"""Makes the container image: Debian's Python and what it needs, the locked dependencies, the program. No container engine is asked."""
