"""What came in over HTTP and was acknowledged, on disk until it has been read: sealed, checksummed, fsynced."""
