"""What the lab measures with: a network to shape, the program, its peers, bars and plots."""
