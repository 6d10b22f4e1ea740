"""The same people, different columns: joint computation over a join of several holders' tables."""
