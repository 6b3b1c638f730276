"""Everything that `config` raises. A message names the input that was wrong."""


class ConfigError(Exception):
    """Something about the installation or its configuration is wrong."""


class SettingsError(ConfigError):
    """A setting is unknown, missing or has a value that it may not have."""


class SecretsError(ConfigError):
    """The file of installation secrets cannot be read, written or believed."""


class InstantError(ConfigError, ValueError):
    """A text does not name one instant in time."""


class EmbeddedPostgresError(ConfigError):
    """The embedded PostgreSQL cannot be installed, started or stopped."""


class AlreadyRunningError(EmbeddedPostgresError):
    """Another process of ours holds this data directory and runs its server."""
