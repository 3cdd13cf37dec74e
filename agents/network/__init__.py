"""Networks on this host: what the server says of them, put into force as bridges, tunnels or routes to the other hosts, and names."""
