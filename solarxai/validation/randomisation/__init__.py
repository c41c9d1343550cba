"""Whether maps change when the network forgets, or learns labels that mean nothing."""
