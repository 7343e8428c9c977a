"""Models of the learned detector as the record has them: which is in force, which is tried, and how they are opened."""
