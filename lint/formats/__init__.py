"""Reports in the forms that people and machines read. They see values, never trees or files."""
