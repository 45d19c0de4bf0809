"""Speed and memory, side by side with what users have today. Not installed."""
