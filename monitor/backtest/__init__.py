"""Rules over the past: the daemon's own pipeline on the stream's clock. It decides, never acts, and leaves nothing behind."""
