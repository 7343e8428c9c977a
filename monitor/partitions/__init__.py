"""Partitions of a log at work: each has a stream of turns of its own, which moves between workers with the partition."""
