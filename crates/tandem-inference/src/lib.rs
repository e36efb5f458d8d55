//! Whole-volume prediction: sliding window, aggregation, ensembling.
