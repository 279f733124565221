//! The discriminator against finite differences.
