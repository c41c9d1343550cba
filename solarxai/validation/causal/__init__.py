"""What the score does when the image is changed: on this the verdict rests."""
