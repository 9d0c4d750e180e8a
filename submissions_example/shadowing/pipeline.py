raise ImportError("the submission's pipeline.py was imported in place of the real one")
