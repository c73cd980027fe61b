"""What requests cost at most, and what attackers do to other callers. `make cost` and `make attacks` run it."""
