"""Matrices in blocks, the course's side: operands that follow from a secret, cutting, and what is right."""
