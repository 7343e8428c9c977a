"""Packs: rules, their twins and playbooks in one signed file with a version, put in force by command and taken back by command."""
