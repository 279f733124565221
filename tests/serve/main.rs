//! `var serve` over its connections: a small model, requests as any program writes them.

mod client;
mod images;
mod jobs;
mod limits;
mod origins;
mod sample;
