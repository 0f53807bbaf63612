"""The hot path of a nested U-Net as an operation: up-sample, concatenate, convolve."""
