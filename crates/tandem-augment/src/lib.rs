//! Preprocessing, augmentation and synthetic subjects: transforms drawn first and applied after.
