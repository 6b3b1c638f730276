"""The lint gate: a proof that a piece of SQL is restricted to one tenant."""
