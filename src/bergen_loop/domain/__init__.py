"""The pure core: what a return, an RMA and a receipt are, and what is decided about them.

Nothing here reads a clock, opens a socket or touches a database, and nothing here imports
the rest of the package.
"""
