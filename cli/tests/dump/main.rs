//! `dump`: the components here are this test program itself, started once more with a part to play.

mod component;
mod made;
mod refused;
#[path = "../support/mod.rs"]
mod support;
