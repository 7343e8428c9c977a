"""The agent of the reference gateway: it follows Miniwatch's decisions and keeps HAProxy's maps by them.

It needs Python 3.11 and nothing else, so that a gateway's machine has to carry nothing of Miniwatch but this folder.
"""
