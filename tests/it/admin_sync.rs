//! What admins are told about the synchronisation, and what anybody is told about its health.

mod activity;
mod events;
mod health;
mod history;
mod overview;
mod runs;

use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::gateway::{Answer, Call};

impl TestApp {
    /// An admin asks about the synchronisation.
    async fn ask(&self, admin: &str, path: &str) -> Answer {
        let call = Call::new("GET", &format!("/api/admin/sync/{path}"))
            .token(&self.clerk.session_token(admin));
        self.call_admin_sync(&call).await
    }

    /// The same; it is answered.
    async fn told(&self, admin: &str, path: &str) -> Value {
        let answer = self.ask(admin, path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    }

    /// All pages of a list, which is below `key`, with so many entries in each.
    async fn pages(&self, admin: &str, path: &str, key: &str, limit: usize) -> Vec<Value> {
        let sign = if path.contains('?') { '&' } else { '?' };
        let mut entries = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("{path}{sign}limit={limit}{cursor}");
            let body = self.told(admin, &path).await;
            let page = body[key].as_array().unwrap();
            assert!(page.len() <= limit, "{path}");
            entries.extend(page.iter().cloned());
            let Some(next) = body["nextCursor"].as_str() else {
                return entries;
            };
            assert_eq!(page.len(), limit, "{path}: only the last page is short");
            cursor = format!("&cursor={next}");
        }
    }

    /// Clerk makes a membership of this user in that organization; returns its id.
    fn member(&self, organization: &str, user: &str) -> String {
        let membership = self.clerk.add_member(organization, user, "org:member");
        membership["id"].as_str().unwrap().to_owned()
    }

    /// Clerk makes an organization; returns its id.
    fn organization_of(&self, name: &str, created_by: &str) -> String {
        let organization = json!({ "name": name, "created_by": created_by });
        let organization = self.clerk.create_organization(organization);
        organization["id"].as_str().unwrap().to_owned()
    }
}

/// These keys of each entry.
fn short(entries: &Value, keys: &[&str]) -> Vec<Value> {
    let short = |entry: &Value| keys.iter().map(|key| entry[*key].clone()).collect();
    entries.as_array().unwrap().iter().map(short).collect()
}
