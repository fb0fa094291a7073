"""The engine: DBOS runs the ticks of all brands, on schedules and queues that survive crashes."""
