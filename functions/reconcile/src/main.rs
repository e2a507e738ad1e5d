//! Starts `reconcile`; the work is in `lib.rs`.

use reconcile::{App, run};
use shared::config::Settings;
use shared::{http, schedule, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), http::RuntimeError> {
    let settings = Settings::from_env();
    telemetry::init(&settings);
    let app = App::new(&settings);
    schedule::serve(|deadline| run(&app, deadline)).await
}
