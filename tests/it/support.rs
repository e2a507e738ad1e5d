//! What the tests stand on: a database of their own, Clerk, and the functions in this process.

pub(crate) mod app;
pub(crate) mod binaries;
pub(crate) mod database;
pub(crate) mod gateway;
pub(crate) mod proxy;

pub(crate) use app::TestApp;
