//! Full comparisons with Clerk (R14, R15): what they find, and what they mend.

mod brake;
mod damage;
mod lists;
mod live;
mod runs;
mod throttle;

use serde_json::json;

use crate::support::TestApp;

/// Two organizations with members, and an admin, an instructor and two students.
pub(crate) struct World {
    pub(crate) app: TestApp,
    pub(crate) grace: String,
    pub(crate) alan: String,
    pub(crate) ada: String,
    pub(crate) edsger: String,
    pub(crate) acme: String,
    pub(crate) bell: String,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        let app = TestApp::with(settings).await;
        let grace = app.admin("grace").await;
        let alan = app.user("alan", Some("INSTRUCTOR")).await;
        let ada = app.user("ada", Some("STUDENT")).await;
        let edsger = app.user("edsger", Some("STUDENT")).await;
        let acme = organization(&app, "Acme", &grace);
        let bell = organization(&app, "Bell", &alan);
        app.clerk.add_member(&acme, &ada, "org:member");
        app.clerk.add_member(&acme, &edsger, "org:member");
        app.settle().await;
        app.assert_equal().await;
        Self {
            app,
            grace,
            alan,
            ada,
            edsger,
            acme,
            bell,
        }
    }

    /// Clerk's id of a membership.
    pub(crate) fn membership(&self, organization: &str, user: &str) -> String {
        let membership = self.app.clerk.membership(organization, user);
        let membership = membership.expect("the user is a member");
        membership["id"].as_str().unwrap().to_owned()
    }
}

fn organization(app: &TestApp, name: &str, creator: &str) -> String {
    let organization = app
        .clerk
        .create_organization(json!({ "name": name, "created_by": creator }));
    organization["id"].as_str().unwrap().to_owned()
}
