raise ImportError("the submission's runner.py was imported in place of the real one")
