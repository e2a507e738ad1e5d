//! Lets callers in: who is signed in, what the database knows of them, and what they may do.
//!
//! What every function behind a session token needs is here, so that none of them decides it alone.

use crate::auth;
use crate::config::{self, Configured, Settings};
use crate::db::Db;
use crate::db::role_changes::Source;
use crate::http::{self, Request};
use crate::{Result, clerk, sync};

/// The doorkeeper of a function, and all that the function may touch.
#[derive(Debug)]
pub struct Gate {
    /// Knows session tokens.
    pub auth: Configured<auth::Verifier>,
    /// Holds the rows.
    pub db: Configured<Db>,
    /// Is asked, and told.
    pub clerk: Configured<clerk::Client>,
    /// For how long a caller's row counts as confirmed.
    pub freshness_seconds: Configured<u32>,
}

impl Gate {
    /// Reads the settings once, at cold start; what is missing is logged.
    pub fn from_settings(settings: &Settings) -> Self {
        let gate = Self {
            auth: auth::Verifier::from_settings(settings),
            db: Db::from_settings(settings),
            clerk: clerk::Client::from_settings(settings),
            freshness_seconds: settings.number("ADMIN_FRESHNESS_SECONDS", 300),
        };
        let errors = [
            gate.auth.as_ref().err(),
            gate.db.as_ref().err(),
            gate.clerk.as_ref().err(),
            gate.freshness_seconds.as_ref().err(),
        ];
        errors.into_iter().flatten().for_each(config::Error::log);
        gate
    }

    /// Who is signed in, by their token alone.
    pub async fn asking(&self, request: &Request) -> Result<sync::Asking> {
        let auth = self.auth.as_ref().map_err(Clone::clone)?;
        let caller = auth.verify(http::token(request)?).await?;
        let organization = caller.organization.as_ref().and_then(active_organization);
        Ok(sync::Asking {
            organization,
            way: way(&caller),
            clerk_id: caller.user_id,
            request_id: request.id.clone(),
        })
    }

    /// Who is signed in, loaded ([`sync::load_caller`]).
    pub async fn caller(&self, request: &Request) -> Result<sync::Loaded> {
        let asking = self.asking(request).await?;
        let freshness = self.freshness_seconds.clone()?;
        sync::load_caller(&self.clerk, self.db()?, asking, freshness, request.deadline).await
    }

    /// The admin who is signed in; anybody else is refused.
    pub async fn admin(&self, request: &Request) -> Result<sync::Admin> {
        sync::require_admin(self.caller(request).await?)
    }

    /// The database, if it is configured.
    pub fn db(&self) -> Result<&Db> {
        Ok(self.db.as_ref().map_err(Clone::clone)?)
    }

    /// Clerk, if it is configured.
    pub fn clerk(&self) -> Result<&clerk::Client> {
        Ok(self.clerk.as_ref().map_err(Clone::clone)?)
    }
}

/// Browsers say where they come from (`azp`), programs do not.
fn way(caller: &auth::Caller) -> Source {
    if caller.authorized_party.is_some() {
        Source::AdminPanel
    } else {
        Source::Api
    }
}

fn active_organization(active: &auth::ActiveOrganization) -> Option<sync::ActiveOrganization> {
    Some(sync::ActiveOrganization {
        clerk_id: active.id.parse().ok()?,
        role: active.role.clone(),
        slug: active.slug.clone(),
    })
}
