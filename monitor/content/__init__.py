"""Rules, playbooks and packs as they are in force: read from folders, exchanged while the daemon runs, and noted so that a run can be gone through again."""
