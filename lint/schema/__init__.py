"""What is known of a database: read from scripts, catalog files, migrations."""
