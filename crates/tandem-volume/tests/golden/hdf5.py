"""Makes the HDF5 files of this folder with h5py (3.16, HDF5 2.0): python3 hdf5.py

Layout of the LA benchmark: datasets `image` (float32) and `label` (uint8), [i, j, k], gzip. The values are those of
`src/hdf5.rs`, so that its tests know them.
"""
import h5py
import numpy as np

i, j, k = np.meshgrid(np.arange(5), np.arange(4), np.arange(3), indexing="ij")
image = (i + 10 * j + 100 * k).astype(np.float32) / 8
label = ((i + j + k) % 2).astype(np.uint8)

with h5py.File("la.h5", "w") as file:
    file.create_dataset("image", data=image, compression="gzip")
    file.create_dataset("label", data=label, compression="gzip")
with h5py.File("unlabelled.h5", "w") as file:
    file.create_dataset("image", data=(8 * image).astype(">i2"))
with h5py.File("wrong_label.h5", "w") as file:
    file.create_dataset("image", data=image)
    file.create_dataset("label", data=label * 0.5)
with h5py.File("other_shape.h5", "w") as file:
    file.create_dataset("image", data=image)
    file.create_dataset("label", data=label[:-1])
with h5py.File("flat.h5", "w") as file:
    file.create_dataset("image", data=image[0])
with h5py.File("no_image.h5", "w") as file:
    file.create_dataset("scan", data=image)

# The layouts that h5py writes, and one that only claims its voxels.
with h5py.File("contiguous.h5", "w") as file:
    file.create_dataset("image", data=image.astype(np.float64))
    file.create_dataset("label", data=label.astype(np.int64))
with h5py.File("shuffled.h5", "w", libver="latest") as file:
    packed = dict(chunks=(2, 3, 2), compression="gzip", shuffle=True, fletcher32=True)
    file.create_dataset("image", data=image, **packed)
    file.create_dataset("label", data=label, **packed)
with h5py.File("inflated.h5", "w") as file:
    file.create_dataset("image", shape=(100_000, 100_000, 100_000), dtype="f4", chunks=(64, 64, 64))
with h5py.File("empty_chunks.h5", "w") as file:
    file.create_dataset("image", shape=(512, 512, 512), dtype="f4", chunks=(64, 64, 64))
