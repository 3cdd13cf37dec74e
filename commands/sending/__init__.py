"""Commands on their way: NATS, places at each agent, what is outstanding, what is sent again."""
