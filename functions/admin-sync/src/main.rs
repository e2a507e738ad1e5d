//! Starts `admin-sync`; the work is in `lib.rs`.

use admin_sync::{App, handle};
use shared::config::Settings;
use shared::{http, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), http::RuntimeError> {
    let settings = Settings::from_env();
    telemetry::init(&settings);
    let app = App::new(&settings);
    http::serve(|request| handle(&app, request)).await
}
