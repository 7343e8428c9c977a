"""What shall be done: findings in, decisions out. Pure: no network, no database, no clock, no logger."""
