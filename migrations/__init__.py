"""The product's own migrations, numbered; a domain's have a sequence of their own."""
