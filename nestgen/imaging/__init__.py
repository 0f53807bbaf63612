"""Images and masks in files and folders, as numpy arrays; no torch here.

picture.py    one opened image or volume file; every failure one DataError
raster.py     a picture as Pillow decodes it
tiff.py       a picture as tifffile decodes it: 16 bits, floats, many bands
stack.py      many pages of a TIFF file as one picture
nifti.py      .nii and .nii.gz, read and written
volume.py     write_volume: a volume in the format of its image
read.py       read_image: what a network is fed, read_pixels, standardise
masks.py      read_mask, write_mask; classes_of, labels_for: labels and classes
pairs.py      find_pairs, find_splits, load_labels: images with their masks
inventory.py  check_pairs: a whole dataset read once, all its problems at once
inputs.py     expand_inputs: the images that a command-line argument means
overlay.py    the contours of labels drawn on their image
pad.py        sizes that a network takes
"""
