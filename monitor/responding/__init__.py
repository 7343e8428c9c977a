"""What people may do to decisions, in one place: add, approve, reject, revoke, exempt, undo.

The command line and every HTTP interface call these functions and nothing else, so that nobody can go around the second
person, a protection or an exemption. Each is one transaction with its audit. They take the record, who acts (`actor`, as the
audit names them: ``operator:NAME``, ``token:ID (NAME)``), why, and the time in microseconds; they raise `ActRefused` where
the rules say no, and `NotFound` where there is no such decision.
"""
