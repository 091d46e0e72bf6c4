"""Suites of data × recipe × seed, tuned alike, run to the end, and told as a leaderboard."""
