"""How an agent finds its place: it registers or joins, and has keys of its own for the server and for NATS."""
