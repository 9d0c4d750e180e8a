"""What was pushed, from the moved reference to the grade that came of it. No push is lost, none counts twice."""
