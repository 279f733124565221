//! Visual autoregressive image generation over plain slices.
#![no_std]
