"""Which disk, record, partition or process is full next, and when: what is measured for it, and how the future is read from that."""
