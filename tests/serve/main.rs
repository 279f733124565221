//! `var serve` over its connections: the built-in model, requests as any program writes them.

mod client;
mod images;
mod jobs;
mod limits;
mod origins;
mod sample;
