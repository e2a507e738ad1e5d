//! Invitations to sign up.

use reqwest::Method;

use super::retry::Call;
use super::{Budget, Client, Error, Invitation, NewInvitation, PAGE_LEN};

impl Client {
    /// Reads the invitations whose address or id (`inv_…`) holds this text, the newest first, and
    /// no more than [`PAGE_LEN`] of them.
    /// Without a status, the revoked ones are left out.
    pub async fn invitations(
        &self,
        query: &str,
        status: Option<&str>,
        budget: Budget,
    ) -> Result<Vec<Invitation>, Error> {
        let mut parameters = vec![("limit", PAGE_LEN.to_string()), ("query", query.to_owned())];
        if let Some(status) = status {
            parameters.push(("status", status.to_owned()));
        }
        let call = Call::<()> {
            query: parameters,
            ..Call::new(Method::GET, format!("{}/invitations", self.base))
        };
        self.ask(&call, budget).await
    }

    /// Invites somebody to sign up.
    /// When [`Error::is_outcome_unknown`] holds, look for the invitation before sending another.
    pub async fn create_invitation(
        &self,
        invitation: &NewInvitation,
        budget: Budget,
    ) -> Result<Invitation, Error> {
        let call = Call {
            body: Some(invitation),
            ..Call::new(Method::POST, format!("{}/invitations", self.base))
        };
        self.ask(&call, budget).await
    }

    /// Takes an invitation back: its link leads nowhere from then on.
    /// Whoever was invited may still sign up by themselves.
    ///
    /// What cannot be an id is [`Error::NotFound`], and Clerk is not asked: the id becomes a part
    /// of the path.
    pub async fn revoke_invitation(&self, id: &str, budget: Budget) -> Result<Invitation, Error> {
        if !is_invitation_id(id) {
            return Err(Error::NotFound { trace_id: None });
        }
        let url = format!("{}/invitations/{id}/revoke", self.base);
        let call = Call::<()>::new(Method::POST, url);
        self.ask(&call, budget).await
    }
}

/// Whether an invitation can have this id, so that it means the same in a path.
fn is_invitation_id(id: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !id.is_empty() && id.bytes().all(is_plain)
}
