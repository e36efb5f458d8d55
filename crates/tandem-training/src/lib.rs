//! The training loop: dataset, two-stream sampler, batch, optimiser, schedule, checkpoint, run log.
