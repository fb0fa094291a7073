"""What the service tells about itself: metrics, traces, alerts."""
