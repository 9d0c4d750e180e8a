"""What the test session itself is made of; no tests."""
