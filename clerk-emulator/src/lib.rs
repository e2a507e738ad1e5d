//! A stand-in for Clerk, for development and tests only.
//!
//! It keeps users, sessions, invitations and organizations, answers the Backend API as Clerk does, publishes
//! its keys, signs session tokens, and sends webhooks signed the way Svix signs them. Beyond
//! that it does on demand what the real service does at bad moments: refuse, stall, lose an
//! answer, repeat and reorder webhooks. Its clock can be moved.
//!
//! It knows nothing of the code that it tests, so that it cannot share its mistakes.
//! E-mail addresses are kept in lower case. A sign-in makes no webhook. A password is judged and
//! forgotten: it is in no state, and in no request that is remembered.
//! Not yet: invitations to organizations, their domains and logos, role sets.

mod api;
mod clock;
mod connection;
mod control;
mod emulator;
mod entities;
mod error;
mod faults;
mod hooks;
mod ids;
mod instance;
mod json;
mod limits;
mod metadata;
mod options;
mod params;
mod passwords;
mod requests;
mod routes;
mod seed;
mod store;
mod tokens;
mod webhooks;
mod world;

pub use emulator::{Emulator, SeedError, StartError};
pub use faults::{Effect, Fault, Matcher};
pub use options::{MemberEvents, Options};
pub use requests::{Calls, Request};
pub use seed::Fill;
pub use tokens::{KeyError, TokenVersion};
pub use webhooks::{Attempt, Message, Status};
pub use world::{Deliver, Order};
