"""What the README promises on a fresh machine, tried on one: a minimal Debian, and somebody who has just come."""
