"""Connecting a brand: every access tried for real, then written down.

Nothing here asks or prints; the command line does. Each check says what was found and, where it
failed, what to ask of whom.
"""
