//! Starts `clerk-webhook`; the work is in `lib.rs`.

use clerk_webhook::{App, handle};
use shared::config::Settings;
use shared::{http, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), http::RuntimeError> {
    let settings = Settings::from_env();
    telemetry::init(&settings);
    let app = App::new(&settings);
    http::serve(|request| handle(&app, request)).await
}
