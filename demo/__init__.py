"""The demonstration: service and sandbox as processes of their own, the whole flow, shown."""
