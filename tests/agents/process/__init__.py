"""What is the same for all agents, whatever their driver."""
