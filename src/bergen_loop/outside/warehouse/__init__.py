"""Bergen's side: the port every warehouse system is reached through, and its adapters."""
