"""The emergency stop itself: latch, channels, rounds, verification, journal. No Django: opsctl runs it, too."""
