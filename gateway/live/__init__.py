"""What an instance does just now: asked of its agent, over HTTP, a WebSocket, or NATS (docs/live.md).

    HTTP       door -------------> forms       \\
    WebSocket  interactive <-----> given        > queries (verbs, finding) <--> asking <--> the agent (agents/live.py)
    NATS       listening <-------> readers     /

What a host has as a whole (lists) is asked in the same way.
"""
