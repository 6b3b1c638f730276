"""The text of SQL: tokens, statements, and what the parser is given."""
