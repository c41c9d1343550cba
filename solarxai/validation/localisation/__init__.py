"""Where maps put their attribution, and where unrelated maps and masks would."""
