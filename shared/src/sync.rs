//! The rules that keep Clerk and the database in agreement: the only module that sees both.
//!
//! The way of a change: something is *seen* in Clerk (an event, an answer, a read), [`merge`]
//! decides what it does to our row, [`apply`] writes that with all that belongs to it.
//! The other way: [`push`] sets roles here and owes them to Clerk, [`deliver`] pays.
//! [`edit`] writes profiles, Clerk first; [`email_change`] invites a new address.
//! [`pull`] asks Clerk at somebody's wish, [`load`] for whoever makes a request, [`refetch`] and
//! [`walk`] about what is flagged.

mod apply;
mod comparison;
mod deliver;
mod edit;
mod email_change;
mod load;
mod merge;
mod outage;
mod pull;
mod push;
mod receive;
mod reconcile;
mod refetch;
mod replay;
mod role;
mod walk;

pub use comparison::work_on_run;
pub use edit::{
    DatabaseSync, Edited, EditedInClerk, Editor, ProfileEdit, edit_in_clerk, edit_profile,
    require_editor,
};
pub use email_change::{request_email_change, revoke_email_change, show_email_change};
pub use load::{
    ActiveOrganization, Admin, Asking, Loaded, LoadedOrganization, load_caller, require_admin,
};
pub use pull::{IfUnknown, Members, Pull, Pulled, Source};
pub use push::{RoleResult, RoleSet, set_role, set_roles};
pub use receive::{Outcome, receive};
pub use reconcile::{Brake, Limits, Report, reconcile};
pub use replay::{MAX_REPLAYED, Replay, Replayed, ReplayedEvent, replay};
