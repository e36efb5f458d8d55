//! Voxel arrays with physical geometry, resampling, and their files.
