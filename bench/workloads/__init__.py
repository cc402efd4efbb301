"""What clients ask for, and when."""
