"""Our own HTTP API, ``/api/v1``: the lists, the objects and the acts of the command line, each declared once."""
