"""`python -m solarxai.cli`."""

from solarxai.cli import main

main()
