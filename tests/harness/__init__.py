"""A libvirtd, guests and a virtmuxd of the tests' own: real ones, and all of them gone afterwards."""
