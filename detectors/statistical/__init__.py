"""What no rule names: counts that are unusual for who does it, when, and among whom."""
