"""Evaluation: held-out test and pairwise judge, benchmarks, contamination probe, scaling study, leaderboard."""
