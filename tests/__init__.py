"""The tests of virtmux: one folder for each source root, `integration/` against a real libvirtd."""
