"""Run by a supervisor such as systemd: it is told how this process is, and may have opened the socket that is listened on."""
