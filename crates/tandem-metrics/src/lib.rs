//! Segmentation metrics on binary masks with spacing: Dice, Jaccard, HD95, ASD; exact distance transform.
