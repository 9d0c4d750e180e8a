"""What runs inside the image: the container protocol, the training worker, prediction, plain functions.

Nothing in here is trusted by the pipeline. Standard library, numpy and torch only.
"""
