"""What is wrong with a configuration."""


class ConfigError(Exception):
    """The configuration cannot be used. Each line of the text is one fault: where, what was expected, what is there."""
