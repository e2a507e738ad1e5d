//! What can happen: a history is a value, so that one that fails can be made smaller and shown.

use std::fmt;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any};
use proptest::prop_oneof;

/// The n-th of those who live, counted round.
pub(super) type Place = u8;

/// What somebody does in Clerk's dashboard. What does not apply changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    CreateUser(Said),
    Rename(Place),
    SetRole(Place, Said),
    Ban(Place, bool),
    DeleteUser(Place),
    /// With a creator, who becomes its admin.
    CreateOrganization(Option<Place>),
    RenameOrganization(Place),
    /// Changes what the row of an organization has in another column than its name.
    Limit(Place, u8),
    /// Makes a new version that shows nothing new.
    TouchOrganization(Place),
    DeleteOrganization(Place),
    Join(Pair, MemberRole),
    SetMemberRole(Pair, MemberRole),
    /// Changes the metadata of a membership.
    Seat(Pair, u8),
    Leave(Pair),
    /// Leaves and joins again.
    Rejoin(Pair, MemberRole),
}

/// An organization and a user.
pub(super) type Pair = (Place, Place);

/// What the public metadata of a user say of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    Nothing,
    Student,
    Instructor,
    Admin,
    /// A role that is none of ours.
    Nonsense,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MemberRole {
    Member,
    Admin,
    Teacher,
}

/// One of our own roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Student,
    Instructor,
    Admin,
}

/// What happens in a history, on either side and between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    InClerk(Change),
    /// Within one millisecond; and Clerk, if it is asked about members, may have trouble.
    AtOnce(Vec<Change>, u8),
    /// Memberships of one user change, and no message tells of it, long after the last walk; the
    /// next message about the user makes them good.
    Unheard(Place, Vec<Change>),
    /// An admin sets a role here.
    Ours(Place, Role),
    /// The same, while somebody says something else in Clerk, and what Clerk tells arrives.
    Race(Place, Role, Said),
    /// Somebody edits a profile here.
    Edit(Place),
    /// The same in Clerk, by way of us.
    EditInClerk(Place),
    /// Some of what is on its way arrives, side by side, at a sandbox each.
    Deliver(Vec<Place>),
    /// Something that arrived arrives again.
    Again(Place),
    /// Something never arrives.
    Lose(Place),
    Reconcile,
    ClerkFails(Failure, Call, u8),
    /// The database is cut off after so many messages during a step, and perhaps stays away.
    CutOff(u8, bool, Box<Step>),
    /// The server ends all connections.
    Restart,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    Refused,
    Limited,
    Dropped,
    AnswerDropped,
}

/// A call that Clerk fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    PatchUser,
    GetUser,
    GetOrganization,
}

/// A history, and how what is left arrives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct History {
    /// Whether memberships that end with something else make events: 0 no, 1 before it, 2 after.
    pub(super) member_events: u8,
    pub(super) steps: Vec<Step>,
    /// What is left at the end arrives in the order of these numbers, which are used round.
    pub(super) order: Vec<u8>,
    /// How many arrive side by side then.
    pub(super) n_at_once: u8,
}

/// Whether messages are lost for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Losses {
    None,
    Some,
}

/// Histories of at most so many steps.
pub(super) fn histories(n_steps: usize, losses: Losses) -> impl Strategy<Value = History> {
    let steps = vec(step(losses), n_steps / 2..=n_steps);
    // Without an order, what is left arrives as it was sent.
    (0..3u8, steps, vec(any::<u8>(), 0..40), 1..7u8).prop_map(
        |(member_events, steps, order, n_at_once)| History {
            member_events,
            steps,
            order,
            n_at_once,
        },
    )
}

fn step(losses: Losses) -> impl Strategy<Value = Step> {
    let n_losses = match losses {
        Losses::None => 0,
        Losses::Some => 4,
    };
    prop_oneof![
        60 => calm_step(),
        6 => (0..40u8, any::<bool>(), calm_step())
            .prop_map(|(after, stays, step)| Step::CutOff(after, stays, Box::new(step))),
        2 => Just(Step::Restart),
        4 => (failure(), call(), 1..3u8).prop_map(|(what, call, n)| Step::ClerkFails(what, call, n)),
        n_losses => any::<u8>().prop_map(Step::Lose),
    ]
}

/// A step that nothing disturbs.
fn calm_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        26 => change().prop_map(Step::InClerk),
        5 => (vec(change_of_a_user(), 2..4), Just(0)).prop_map(|(all, n)| Step::AtOnce(all, n)),
        4 => (vec(change_of_a_pair(), 2..5), option::of(1..6u8))
            .prop_map(|(all, n)| Step::AtOnce(all, n.unwrap_or(0))),
        3 => (any::<u8>(), vec(change_of_a_pair(), 1..4)).prop_map(|(who, all)| Step::Unheard(who, all)),
        5 => (any::<u8>(), role()).prop_map(|(who, role)| Step::Ours(who, role)),
        3 => (any::<u8>(), role(), said()).prop_map(|(who, ours, said)| Step::Race(who, ours, said)),
        3 => any::<u8>().prop_map(Step::Edit),
        2 => any::<u8>().prop_map(Step::EditInClerk),
        14 => vec(any::<u8>(), 1..5).prop_map(Step::Deliver),
        4 => any::<u8>().prop_map(Step::Again),
        3 => Just(Step::Reconcile),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        5 => said().prop_map(Change::CreateUser),
        6 => change_of_a_user(),
        2 => any::<u8>().prop_map(Change::DeleteUser),
        3 => option::of(any::<u8>()).prop_map(Change::CreateOrganization),
        1 => any::<u8>().prop_map(Change::RenameOrganization),
        1 => (any::<u8>(), 50..200u8).prop_map(|(which, most)| Change::Limit(which, most)),
        1 => any::<u8>().prop_map(Change::TouchOrganization),
        1 => any::<u8>().prop_map(Change::DeleteOrganization),
        9 => change_of_a_pair(),
    ]
}

fn change_of_a_user() -> impl Strategy<Value = Change> {
    prop_oneof![
        2 => any::<u8>().prop_map(Change::Rename),
        3 => (any::<u8>(), said()).prop_map(|(who, said)| Change::SetRole(who, said)),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(who, is_banned)| Change::Ban(who, is_banned)),
    ]
}

fn change_of_a_pair() -> impl Strategy<Value = Change> {
    // Few organizations, so that pairs meet again.
    let pair = || (0..3u8, any::<u8>());
    prop_oneof![
        4 => (pair(), member_role()).prop_map(|(pair, role)| Change::Join(pair, role)),
        2 => (pair(), member_role()).prop_map(|(pair, role)| Change::SetMemberRole(pair, role)),
        1 => (pair(), any::<u8>()).prop_map(|(pair, seat)| Change::Seat(pair, seat)),
        2 => pair().prop_map(Change::Leave),
        2 => (pair(), member_role()).prop_map(|(pair, role)| Change::Rejoin(pair, role)),
    ]
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![
        Just(Said::Student),
        Just(Said::Instructor),
        Just(Said::Admin),
        Just(Said::Nothing),
        Just(Said::Nonsense),
    ]
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![
        Just(Role::Student),
        Just(Role::Instructor),
        Just(Role::Admin)
    ]
}

fn member_role() -> impl Strategy<Value = MemberRole> {
    prop_oneof![
        Just(MemberRole::Member),
        Just(MemberRole::Admin),
        Just(MemberRole::Teacher),
    ]
}

fn failure() -> impl Strategy<Value = Failure> {
    prop_oneof![
        Just(Failure::Refused),
        Just(Failure::Dropped),
        Just(Failure::AnswerDropped),
        Just(Failure::Limited),
    ]
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        Just(Call::PatchUser),
        Just(Call::GetUser),
        Just(Call::GetOrganization),
    ]
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "    {step:?}")?;
        }
        writeln!(
            f,
            "member events {}; the rest {} at once in the order {:?}",
            self.member_events, self.n_at_once, self.order
        )
    }
}

impl Change {
    /// The same about this user.
    pub(super) fn of_user(self, who: Place) -> Self {
        match self {
            Self::Join((which, _), role) => Self::Join((which, who), role),
            Self::SetMemberRole((which, _), role) => Self::SetMemberRole((which, who), role),
            Self::Seat((which, _), seat) => Self::Seat((which, who), seat),
            Self::Leave((which, _)) => Self::Leave((which, who)),
            Self::Rejoin((which, _), role) => Self::Rejoin((which, who), role),
            other => other,
        }
    }
}

impl Said {
    pub(super) fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Student => Some("STUDENT"),
            Self::Instructor => Some("INSTRUCTOR"),
            Self::Admin => Some("ADMIN"),
            Self::Nonsense => Some("SOMETHING"),
        }
    }
}

impl MemberRole {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Member => "org:member",
            Self::Admin => "org:admin",
            Self::Teacher => "org:teacher",
        }
    }
}

impl Role {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Student => "STUDENT",
            Self::Instructor => "INSTRUCTOR",
            Self::Admin => "ADMIN",
        }
    }
}
