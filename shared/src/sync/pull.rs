//! Pulls objects from Clerk at somebody's wish: Clerk first, else what the database has, else a
//! temporary row (R17). Every answer says which, and whether what was written was read back.

use std::time::Instant;

use serde::Serialize;

use super::apply::users as apply_users;
use super::apply::{self, Outcome};
use super::load::{self, Asking};
use super::merge::membership::role_key;
use super::refetch::{self, CALL_TIMEOUT, sighting_of_organization, sighting_of_user};
use super::walk::{self, ListOfUser, Tries, Walker};
use crate::clerk::{self, Budget};
use crate::db::users::{Account, State};
use crate::db::walks::MembersWalk;
use crate::db::{Check, Db, memberships, organizations, placeholders};
use crate::ids::{ClerkOrganizationId, ClerkUserId};
use crate::telemetry::chain;
use crate::{Error, Result};

const NO_SUCH_ORGANIZATION: Error = Error::NotFound {
    code: "organization_not_found",
    message: "There is no such organization.",
};

const NO_SUCH_MEMBERSHIP: Error = Error::NotFound {
    code: "membership_not_found",
    message: "The user is not a member of this organization.",
};

/// Where an answer comes from, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Clerk was asked just now.
    Clerk,
    /// Clerk gave no answer: what the database has.
    Database,
    /// Clerk gave no answer, and nothing is known: the next real information replaces it.
    Temporary,
}

/// What came of a pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pulled {
    /// Where the rows come from.
    pub source: Source,
    /// Whether the transaction that wrote the rows read them back as Clerk showed them.
    #[serde(rename = "verified")]
    pub is_verified: bool,
    /// Whether all of it was pulled; if not, `reconcile` goes on.
    pub is_complete: bool,
}

/// What came of pulling the members of an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Members {
    /// How many members Clerk counts.
    pub total: u64,
    /// How many of them were written by this request.
    pub synced: u64,
    /// How many were members here and are none in Clerk.
    pub ended: u64,
}

/// Whether a user of whom neither Clerk nor the database knows anything gets a temporary row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfUnknown {
    /// They do: Clerk has signed a token of theirs.
    MakeTemporary,
    /// Only while Clerk cannot say that there is no such user.
    Refuse,
}

/// Pulls from Clerk into the database.
#[derive(Debug, Clone, Copy)]
pub struct Pull<'a> {
    /// Is asked.
    pub clerk: &'a clerk::Client,
    /// Is written to.
    pub db: &'a Db,
    /// No call to Clerk lasts longer.
    pub until: Instant,
}

impl Pull<'_> {
    /// Writes a user as Clerk has them; true if verified.
    ///
    /// Fails if Clerk gives no answer, or knows no such user.
    pub async fn user(&self, id: &ClerkUserId) -> Result<bool> {
        let user = self.clerk.user(id, self.budget()).await?;
        let applied = apply::apply_one(self.db, sighting_of_user(&user), Check::ReadBack);
        let applied = applied.await?;
        Ok(applied.is_verified && applied.outcome == Outcome::Applied)
    }

    /// The same; if Clerk gives no answer, the database's row stands, or a temporary one is made.
    pub async fn user_or_fallback(
        &self,
        id: &ClerkUserId,
        if_unknown: IfUnknown,
    ) -> Result<Pulled> {
        match self.user(id).await {
            Ok(is_verified) => Ok(Pulled {
                source: Source::Clerk,
                is_verified,
                is_complete: true,
            }),
            Err(Error::Clerk(error)) => self.user_without_clerk(id, if_unknown, &error).await,
            Err(error) => Err(error),
        }
    }

    /// Writes an organization as Clerk has it; if Clerk gives no answer, the database's row stands,
    /// or a temporary one is made.
    pub async fn organization(&self, id: &ClerkOrganizationId) -> Result<Pulled> {
        let error = match self.clerk.organization(id, self.budget()).await {
            Ok(organization) => {
                let sighting = sighting_of_organization(&organization);
                let applied = apply::apply_one(self.db, sighting, Check::ReadBack).await?;
                return Ok(Pulled {
                    source: Source::Clerk,
                    is_verified: applied.is_verified && applied.outcome == Outcome::Applied,
                    is_complete: true,
                });
            }
            Err(error) => error,
        };
        warn("an organization", id.as_str(), &error);
        // What is not pulled now is owed.
        self.db.flag_organization(id).await?;
        let row = self.db.organization(id).await?;
        match row {
            Some(row) if !row.is_placeholder => Ok(fallback(Source::Database)),
            _ if is_unknown(&error) => Err(NO_SUCH_ORGANIZATION),
            Some(_) => Ok(fallback(Source::Temporary)),
            None => {
                self.make_temporary_organization(id).await?;
                Ok(fallback(Source::Temporary))
            }
        }
    }

    /// Writes the membership of a user in an organization as Clerk has it, or ends it if there is
    /// none. Clerk's role is the truth: `role` serves only while Clerk gives no answer, and until
    /// it gives one.
    pub async fn membership(
        &self,
        organization: &ClerkOrganizationId,
        user: &ClerkUserId,
        role: &str,
    ) -> Result<Pulled> {
        // Flagged before Clerk is asked: what was not here by then, nobody asked about.
        let flagged = self.db.flag_membership(organization, user).await?;
        let users = std::slice::from_ref(user);
        let members = self.clerk.members_by_id(organization, users, self.budget());
        let memberships = match members.await {
            Ok(memberships) => memberships,
            // Nobody is in what is not there, as long as it is the same Clerk that knows the user.
            Err(error) if is_unknown(&error) => match self.clerk.user(user, self.budget()).await {
                Ok(_) => Vec::new(),
                Err(error) if is_unknown(&error) => return Err(NO_SUCH_MEMBERSHIP),
                Err(error) => return Err(error.into()),
            },
            Err(error) if !error.is_away() => return Err(error.into()),
            Err(error) => {
                warn("a membership", organization.as_str(), &error);
                return self
                    .membership_without_clerk(organization, user, role)
                    .await;
            }
        };
        if memberships.is_empty() {
            let gone: Vec<_> = flagged.iter().collect();
            self.db.end_memberships(&gone).await?;
            return Err(NO_SUCH_MEMBERSHIP);
        }
        let is_verified = walk::see(self.db, &memberships, Check::ReadBack).await?;
        self.fetch_placeholders(user, organization).await?;
        Ok(Pulled {
            source: Source::Clerk,
            is_verified,
            is_complete: true,
        })
    }

    /// Writes all organizations of a user, and the user's memberships in them.
    pub async fn organizations_of_user(&self, id: &ClerkUserId) -> Result<Pulled> {
        self.db.owe_organization_walk(id, false).await?;
        self.walk_organizations(id, ListOfUser::new(self.clerk, id))
            .await
    }

    /// Writes everything about a user: the user, the organizations, the memberships.
    pub async fn all_of_user(&self, id: &ClerkUserId, if_unknown: IfUnknown) -> Result<Pulled> {
        let mut list = ListOfUser::new(self.clerk, id);
        let (user, ()) = tokio::join!(
            self.clerk.user(id, self.budget()),
            list.read_first(self.budget()),
        );
        let user = match user {
            Ok(user) => user,
            Err(error) => return self.user_without_clerk(id, if_unknown, &error).await,
        };
        let sighting = apply_users::Sighting {
            walk: apply_users::Walk::Yes,
            ..sighting_of_user(&user)
        };
        let applied = apply::apply_one(self.db, sighting, Check::ReadBack).await?;
        if applied.outcome != Outcome::Applied {
            // Somebody wrote something newer, or it is a tombstone: the database knows better.
            self.db.owe_organization_walk(id, false).await?;
            return Ok(Pulled {
                source: Source::Clerk,
                is_verified: false,
                is_complete: false,
            });
        }
        let walked = self.walk_organizations(id, list).await?;
        Ok(Pulled {
            is_verified: walked.is_verified && applied.is_verified,
            ..walked
        })
    }

    /// Writes everything about who asks, and refuses them if their account may not be used.
    pub async fn all_of_caller(&self, asking: &Asking) -> Result<(Pulled, Account)> {
        let pulled = self
            .all_of_user(&asking.clerk_id, IfUnknown::MakeTemporary)
            .await?;
        let account = self.account(&asking.clerk_id).await?;
        match account.user.state {
            State::Deleted => Err(load::DELETED),
            State::Banned | State::Deprovisioned => Err(load::DISABLED),
            State::Active | State::Locked => Ok((pulled, account)),
        }
    }

    /// Writes all members of an organization, page by page, and ends those who are none in Clerk.
    /// What does not fit into the time, `reconcile` does.
    pub async fn members_of_organization(
        &self,
        id: &ClerkOrganizationId,
    ) -> Result<(Pulled, Members)> {
        // What is not known has no place where the walk could stop.
        if self.db.organization(id).await?.is_none() {
            self.organization(id).await?;
        }
        let walk = MembersWalk {
            organization: id.clone(),
            offset: self.db.begin_members_walk(id).await?,
        };
        let walked = self.walker().members(walk).await?;
        if let Some(error) = &walked.error {
            warn("the members of an organization", id.as_str(), error);
        }
        let members = Members {
            total: walked.total,
            synced: walked.n_seen,
            ended: walked.n_ended,
        };
        let is_complete = walked.is_complete;
        let source = if walked.n_seen > 0 || walked.error.is_none() {
            Source::Clerk
        } else {
            self.source_without_clerk(id).await?
        };
        let pulled = Pulled {
            source,
            is_verified: walked.is_verified && is_complete && walked.n_seen >= walked.total,
            is_complete,
        };
        Ok((pulled, members))
    }

    /// What the database has of a user, with what is in it of them.
    pub async fn account(&self, id: &ClerkUserId) -> Result<Account> {
        self.db.account(id).await?.ok_or(Error::NO_SUCH_USER)
    }

    /// What the database has of an organization that lives.
    pub async fn shown_organization(
        &self,
        id: &ClerkOrganizationId,
    ) -> Result<organizations::Shown> {
        let row = self.db.organization(id).await?;
        let row = row.filter(|row| row.deleted_at.is_none());
        Ok(row.ok_or(NO_SUCH_ORGANIZATION)?.into())
    }

    /// What the database has of a membership that lives.
    pub async fn shown_membership(
        &self,
        organization: &ClerkOrganizationId,
        user: &ClerkUserId,
    ) -> Result<memberships::Shown> {
        let shown = self.db.shown_membership(organization, user).await?;
        shown.ok_or(NO_SUCH_MEMBERSHIP)
    }

    async fn user_without_clerk(
        &self,
        id: &ClerkUserId,
        if_unknown: IfUnknown,
        error: &clerk::Error,
    ) -> Result<Pulled> {
        warn("a user", id.as_str(), error);
        // What is not pulled now is owed.
        self.db.owe_organization_walk(id, true).await?;
        match self.db.caller(id, None, 0).await?.user {
            Some(user) if !user.is_placeholder => Ok(fallback(Source::Database)),
            Some(_) => Ok(fallback(Source::Temporary)),
            None if is_unknown(error) && if_unknown == IfUnknown::Refuse => {
                Err(Error::NO_SUCH_USER)
            }
            None => {
                load::make_temporary_user(self.db, id).await?;
                Ok(fallback(Source::Temporary))
            }
        }
    }

    async fn source_without_clerk(&self, id: &ClerkOrganizationId) -> Result<Source> {
        let row = self.db.organization(id).await?;
        Ok(match row {
            Some(row) if !row.is_placeholder => Source::Database,
            _ => Source::Temporary,
        })
    }

    async fn membership_without_clerk(
        &self,
        organization: &ClerkOrganizationId,
        user: &ClerkUserId,
        role: &str,
    ) -> Result<Pulled> {
        load::make_temporary_user(self.db, user).await?;
        self.make_temporary_organization(organization).await?;
        let role = role_key(role);
        self.db
            .put_provisional_membership(organization, user, &role, false)
            .await?;
        let shown = self.shown_membership(organization, user).await?;
        Ok(fallback(if shown.is_placeholder {
            Source::Temporary
        } else {
            Source::Database
        }))
    }

    async fn walk_organizations(&self, id: &ClerkUserId, list: ListOfUser<'_>) -> Result<Pulled> {
        let walked = self.walker().organizations_of_user(list).await?;
        if let Some(error) = &walked.error {
            warn("the organizations of a user", id.as_str(), error);
        }
        Ok(Pulled {
            source: Source::Clerk,
            is_verified: walked.is_verified && walked.is_complete,
            is_complete: walked.is_complete,
        })
    }

    /// A membership may have come before what it hangs on: that is pulled, too, if there is time.
    async fn fetch_placeholders(
        &self,
        user: &ClerkUserId,
        organization: &ClerkOrganizationId,
    ) -> Result<()> {
        let rows = self.db.caller(user, Some(organization), 0).await?;
        if rows.user.is_some_and(|row| row.is_placeholder) {
            let users = std::slice::from_ref(user);
            refetch::users(self.clerk, self.db, users, self.until).await?;
        }
        if rows.organization.is_some_and(|row| row.is_placeholder) {
            let organizations = std::slice::from_ref(organization);
            refetch::organizations(self.clerk, self.db, organizations, self.until).await?;
        }
        Ok(())
    }

    /// A row of which nothing but the id is known (R17).
    async fn make_temporary_organization(&self, clerk_id: &ClerkOrganizationId) -> Result<()> {
        let organization = placeholders::Organization {
            clerk_id,
            name: None,
            slug: None,
            image_url: None,
        };
        Ok(self.db.make_placeholders(&[], &[organization]).await?)
    }

    fn walker(&self) -> Walker<'_> {
        Walker {
            clerk: self.clerk,
            db: self.db,
            until: self.until,
            tries: Tries::WhileThereIsTime,
            check: Check::ReadBack,
        }
    }

    /// For one object, with as many tries as fit in.
    fn budget(&self) -> Budget {
        Budget::until(self.until.min(Instant::now() + CALL_TIMEOUT))
    }
}

fn fallback(source: Source) -> Pulled {
    Pulled {
        source,
        is_verified: false,
        is_complete: false,
    }
}

fn is_unknown(error: &clerk::Error) -> bool {
    matches!(error, clerk::Error::NotFound { .. })
}

/// Whoever has to act is told so: Clerk refuses our key. All else passes by itself.
fn warn(what: &str, id: &str, error: &clerk::Error) {
    if let clerk::Error::Unauthorized { .. } = error {
        tracing::error!(
            error = chain(error),
            clerk_id = id,
            "Clerk refused our key when it was asked about {what}; the database's answer stands"
        );
    } else {
        tracing::warn!(
            error = chain(error),
            clerk_id = id,
            "Clerk gave no answer about {what}; the database's answer stands"
        );
    }
}
