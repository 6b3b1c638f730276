"""Who asks: API tokens, sessions, and what each may do."""
