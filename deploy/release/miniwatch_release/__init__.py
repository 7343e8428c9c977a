"""What a release is made of: it is built from a tag, twice, and has a bill of materials and checksums."""
