"""Where SQL comes from: files, Python, logs, what changed."""
