"""What a model learned from the archive finds unusual: a second opinion, which never acts alone."""
