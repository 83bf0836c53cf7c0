"""What breaks, on purpose and on a schedule; what was accepted is counted against what arrived."""
