"""The flows: intake, announce, receive, settle, close. Each short enough to read at a glance.

One tick of a brand runs them in this order, one tick of a brand at a time.
"""
