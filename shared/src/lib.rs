//! Keeps Clerk and Postgres in agreement about users and their roles.
//!
//! `sync` alone sees both sides; ARCHITECTURE.md has the whole map and what no module may do.

pub mod auth;
pub mod clerk;
pub mod config;
pub mod db;
pub mod error;
pub mod gate;
pub mod http;
pub mod ids;
pub mod profile;
pub mod schedule;
pub mod sync;
pub mod telemetry;
mod tls;
pub mod webhook;

pub use error::{Error, Result};
