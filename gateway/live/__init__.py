"""What an instance does just now: asked of its agent, over HTTP, a WebSocket, or NATS (docs/live.md)."""
