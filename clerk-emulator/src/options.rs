//! What an emulator can be told before it starts.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::tokens::TokenVersion;

/// Does each membership that ends with its user or its organization make an
/// `organizationMembership.deleted`? Clerk does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberEvents {
    /// No: only the `user.deleted` or `organization.deleted` is sent.
    #[default]
    None,
    /// Yes, before the `user.deleted` or `organization.deleted`.
    Before,
    /// Yes, after it.
    After,
}

/// The settings of an emulator; the defaults suit a test.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it listens; only a loopback address is accepted.
    pub listen: SocketAddr,
    /// The secret key that callers must present.
    pub secret_key: String,
    /// What the default endpoint is signed with.
    pub webhook_secret: String,
    /// Where the default endpoint is; without it there is none until one is added.
    pub webhook_url: Option<String>,
    /// The issuer of tokens; the emulator's own address by default.
    pub issuer: Option<String>,
    /// The id of the instance, which is also the id of its key.
    pub instance_id: String,
    /// The `azp` of session tokens.
    pub azp: Option<String>,
    /// Which claims session tokens have.
    pub token_version: TokenVersion,
    /// An RSA private key as PKCS #8 PEM; one is made for the process by default.
    pub private_key_pem: Option<String>,
    /// Are due messages delivered without being asked to?
    pub auto_deliver: bool,
    /// How long a receiver of webhooks may take.
    pub webhook_timeout: Duration,
    /// How many calls the instance takes in ten seconds: of Clerk's, one in production takes a
    /// thousand and one for development a hundred.
    pub instance_limit: Option<u32>,
    /// How many updates a user, an organization or a membership takes in ten seconds.
    pub user_limit: Option<u32>,
    /// What the deletion of a user or an organization says of its memberships.
    pub member_events: MemberEvents,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            secret_key: "sk_test_emulator0000000000000000000000000000000".to_owned(),
            webhook_secret: "whsec_ZW11bGF0b3Itd2ViaG9vay1zZWNyZXQtMDAwMA==".to_owned(),
            webhook_url: None,
            issuer: None,
            instance_id: "ins_2emulator00000000000000000A".to_owned(),
            azp: Some("http://localhost:3000".to_owned()),
            token_version: TokenVersion::default(),
            private_key_pem: None,
            auto_deliver: false,
            webhook_timeout: Duration::from_secs(15),
            instance_limit: Some(1000),
            user_limit: Some(10),
            member_events: MemberEvents::default(),
        }
    }
}
