"""Networks made faster: folded, matched, planned, put to kernels."""
