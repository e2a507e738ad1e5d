//! Starts `update-clerk-user`; the work is in `lib.rs`.

use shared::config::Settings;
use shared::gate::Gate;
use shared::{http, telemetry};
use update_clerk_user::handle;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), http::RuntimeError> {
    let settings = Settings::from_env();
    telemetry::init(&settings);
    let gate = Gate::from_settings(&settings);
    http::serve(|request| handle(&gate, request)).await
}
