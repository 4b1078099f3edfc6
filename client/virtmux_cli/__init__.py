"""The `virtmux` command. Data goes to stdout, talk to stderr."""
