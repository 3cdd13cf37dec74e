"""The write side. What is asked becomes events in `accepting`; the `engine` follows them and takes `turns`, whose steps are `logic`, that
the `catalogue` names as data; what they ask of agents and handlers goes out by `sending`; `watching` looks on beside them."""
