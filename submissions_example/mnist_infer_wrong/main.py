"""Takes every picture for a 3."""


def load_model():
    return 3


def predict(model, _pixels):
    return model
