"""Half an hour of a daemon's life with many consoles and clients, and a fault every few seconds: does anything grow?"""
