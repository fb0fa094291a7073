"""Loop's side: a client for the Loop Returns API and its webhooks."""
