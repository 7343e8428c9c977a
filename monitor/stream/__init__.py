"""What the pipeline does in a turn: events once, detectors at work, the turn committed, and told."""
