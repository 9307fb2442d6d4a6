//! Search finds what a person sees in a text, in every script, and its index is never in the way of anything else.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that can't go on says why and stops"
)]

mod blocks;
mod damage;
mod recent;
mod words;
