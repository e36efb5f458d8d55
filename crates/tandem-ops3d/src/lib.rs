//! 3-D tensor operations as candle custom ops.
