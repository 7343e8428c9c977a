"""What lists there are, by what they are filtered, and how a row reads for programs: once, for the command line and for HTTP."""
