"""What a call does besides giving results."""
