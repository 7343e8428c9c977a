"""What goes into a report of a fault: how an installation is, without anything of whoever runs it or is watched by it.

Nothing is looked for that must not be there. Of texts only those words are kept that the program has itself; the rest is left out, whatever it is. So it takes no list of
what a secret, a name or a number of a person looks like, and what nobody has thought of is left out too.
"""
