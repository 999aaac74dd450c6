"""The monthly report for the security officer: one page that stands for itself, on a screen or on paper."""
