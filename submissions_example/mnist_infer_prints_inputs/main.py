"""Prints and raises what it sees: of hidden pictures nothing of that reaches a student."""


def load_model():
    return {"calls": 0}


def predict(model, pixels):
    model["calls"] += 1
    print("HIDDEN-INPUT-SEEN", model["calls"], bytes(pixels[14]).hex())
    if model["calls"] > 10:
        raise ValueError("HIDDEN-INPUT-SEEN in an error")
    return 3
