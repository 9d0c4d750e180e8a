"""The pages of a course without Jenkins, and git over http."""
