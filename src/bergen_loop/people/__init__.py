"""What people do: each of it journaled with who and why."""
