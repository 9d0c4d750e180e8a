"""A convolution and a pooling, block by block, as one layer of a convolutional network computes them."""

import numpy as np


def worker(task, blocks):
    """Block (row, column) of the answer. The image's block has the pixels around it that the kernel needs."""
    image = blocks["image", task["row"], task["column"]]
    return pool(convolve(image, blocks["kernel", 0, 0]), task["pool"])


def convolve(image, kernel):
    """Each pixel of the answer is the sum of the pixels below the kernel, weighted: one addition for each weight."""
    height, width = kernel.shape
    rows, columns = image.shape[0] - height + 1, image.shape[1] - width + 1
    total = np.zeros((rows, columns), np.float32)
    for down in range(height):
        for across in range(width):
            total += kernel[down, across] * image[down : down + rows, across : across + columns]
    return total


def pool(image, size):
    """The largest pixel of each square of `size` by `size`."""
    rows, columns = image.shape[0] // size, image.shape[1] // size
    return image[: rows * size, : columns * size].reshape(rows, size, columns, size).max(axis=(1, 3))
