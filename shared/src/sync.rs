//! The rules that keep Clerk and the database in agreement: the only module that sees both.
//!
//! The way of a change: something is *seen* in Clerk (an event, an answer, a read), [`merge`]
//! decides what it does to our row, [`apply`] writes that with all that belongs to it.
//! The other way: [`push`] sets roles here and owes them to Clerk, [`deliver`] pays.

mod admin;
mod apply;
mod deliver;
mod merge;
mod push;
mod receive;
mod reconcile;
mod role;

pub use admin::{Admin, Asking, require_admin};
pub use push::{RoleResult, RoleSet, set_role, set_roles};
pub use receive::{Outcome, receive};
pub use reconcile::{Limits, Report, reconcile};
