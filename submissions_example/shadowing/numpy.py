raise ImportError("the submission's numpy.py was imported in place of the real one")
