"""What is the same for all agents: hearing commands, carrying them out once each and in order, answering, heartbeats."""
