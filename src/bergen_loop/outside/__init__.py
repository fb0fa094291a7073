"""What every call to another system shares, and the systems: Loop and the warehouse."""
