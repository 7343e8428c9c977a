"""What can be seen: batches of events in, findings out. Pure: no network, no database, no clock, no logger."""
