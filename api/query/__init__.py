"""PostgREST's query dialect: parsed (`parse`), then checked against a resource (`plan`)."""
