//! Runs an emulator for development until it is told to stop.

use std::collections::HashMap;
use std::error::Error;
use std::num::ParseIntError;
use std::process::ExitCode;
use std::{env, fs, io};

use clerk_emulator::{Emulator, Fill, Options};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// The flags; `--secret-key x` is also `EMULATOR_SECRET_KEY=x`.
const FLAGS: [&str; 12] = [
    "listen",
    "secret-key",
    "webhook-secret",
    "webhook-url",
    "issuer",
    "instance-id",
    // A PKCS #8 PEM, made on the first start, so that tokens outlive a restart.
    "private-key-file",
    // Where the public key is written, for whoever verifies without the network.
    "jwt-key-file",
    // A file with `{"users": [..], "organizations": [..]}`, or the word `demo`.
    "seed",
    // How many objects to add beside the seed, without webhooks, as JSON:
    // `{"users": 100000, "organizations": 10000, "memberships": 300000}`.
    "fill",
    // How many calls the instance takes in ten seconds: a number, `production` (1000, which is
    // also the default), `development` (100) or `none`.
    "instance-limit",
    // Whether memberships that end with their user or organization make webhooks:
    // `none`, `before` or `after` that of the user or organization.
    "member-events",
];

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_default_env())
        .with_writer(io::stderr)
        .init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let flags = flags(env::args().skip(1))?;
    let emulator = Emulator::start(options(&flags)?).await?;
    if let Some(path) = flags.get("private-key-file") {
        fs::write(path, emulator.private_key_pem()?)?;
    }
    if let Some(path) = flags.get("jwt-key-file") {
        fs::write(path, emulator.jwt_key())?;
    }
    match flags.get("seed").map(String::as_str) {
        None => {}
        Some("demo") => emulator.seed_demo()?,
        Some(path) => emulator.seed(serde_json::from_str(&fs::read_to_string(path)?)?)?,
    }
    emulator.fill(fill(&flags)?)?;
    announce(&emulator, &flags);

    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Reads the flags, from the environment and over it from the command line.
fn flags(arguments: impl Iterator<Item = String>) -> Result<HashMap<&'static str, String>, String> {
    let mut flags = HashMap::new();
    for flag in FLAGS {
        let name = format!("EMULATOR_{}", flag.replace('-', "_").to_uppercase());
        #[expect(
            clippy::disallowed_methods,
            reason = "the emulator does not share the settings of what it tests"
        )]
        if let Ok(value) = env::var(name) {
            flags.insert(flag, value);
        }
    }
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        let known = argument
            .strip_prefix("--")
            .and_then(|name| FLAGS.into_iter().find(|flag| *flag == name));
        let flag = known.ok_or_else(|| {
            format!(
                "unknown argument {argument}; known are --{}",
                FLAGS.join(" --")
            )
        })?;
        let value = arguments
            .next()
            .ok_or_else(|| format!("--{flag} needs a value"))?;
        flags.insert(flag, value);
    }
    Ok(flags)
}

fn options(flags: &HashMap<&str, String>) -> Result<Options, Box<dyn Error>> {
    let mut options = Options {
        auto_deliver: true,
        ..Options::default()
    };
    options.listen = match flags.get("listen") {
        Some(address) => address.parse()?,
        None => ([127, 0, 0, 1], 4810).into(),
    };
    for (flag, target) in [
        ("secret-key", &mut options.secret_key),
        ("webhook-secret", &mut options.webhook_secret),
        ("instance-id", &mut options.instance_id),
    ] {
        if let Some(value) = flags.get(flag) {
            target.clone_from(value);
        }
    }
    options.webhook_url = flags.get("webhook-url").cloned();
    options.issuer = flags.get("issuer").cloned();
    if let Some(when) = flags.get("member-events") {
        options.member_events = serde_json::from_value(json!(when))?;
    }
    if let Some(limit) = flags.get("instance-limit") {
        options.instance_limit = instance_limit(limit)?;
    }
    options.private_key_pem = match flags.get("private-key-file").map(fs::read_to_string) {
        Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        Some(Ok(pem)) => Some(pem),
        Some(Err(_)) | None => None,
    };
    Ok(options)
}

fn fill(flags: &HashMap<&str, String>) -> Result<Fill, serde_json::Error> {
    let text = flags.get("fill");
    text.map_or(Ok(Fill::default()), |text| serde_json::from_str(text))
}

/// How many calls Clerk takes in ten seconds, by the kind of the instance.
fn instance_limit(text: &str) -> Result<Option<u32>, ParseIntError> {
    match text {
        "production" => Ok(Some(1000)),
        "development" => Ok(Some(100)),
        "none" => Ok(None),
        number => number.parse().map(Some),
    }
}

/// Tells whoever started it, in one line of JSON, that it is ready and how to reach it.
#[expect(clippy::print_stdout, reason = "scripts read this line")]
fn announce(emulator: &Emulator, flags: &HashMap<&str, String>) {
    let ready = json!({
        "url": emulator.url(),
        "secretKey": emulator.secret_key(),
        "webhookSecret": emulator.webhook_secret(),
        "instanceId": emulator.instance_id(),
        "issuer": emulator.issuer(),
        "jwtKeyFile": flags.get("jwt-key-file"),
        "jwtKey": emulator.jwt_key(),
        "webhookUrl": flags.get("webhook-url"),
    });
    println!("{ready}");
}

#[cfg(test)]
mod tests {
    //! What the flags mean.

    use super::*;

    #[test]
    fn the_limit_of_an_instance_is_a_number_or_the_kind_of_the_instance() {
        let check = |text: &str, expected| {
            let flags = HashMap::from([("instance-limit", text.to_owned())]);
            assert_eq!(options(&flags).unwrap().instance_limit, expected, "{text}");
        };
        check("production", Some(1000));
        check("development", Some(100));
        check("7", Some(7));
        check("none", None);
        assert_eq!(
            options(&HashMap::new()).unwrap().instance_limit,
            Some(1000),
            "by default it is one in production"
        );
        let wrong = HashMap::from([("instance-limit", "staging".to_owned())]);
        assert!(options(&wrong).is_err());
    }

    #[test]
    fn an_instance_is_filled_with_what_is_named() {
        let arguments = ["--fill", r#"{"users": 3, "memberships": 2}"#];
        let flags = flags(arguments.into_iter().map(str::to_owned)).unwrap();
        let expected = Fill {
            users: 3,
            memberships: 2,
            ..Fill::default()
        };
        assert_eq!(fill(&flags).unwrap(), expected);
        assert_eq!(fill(&HashMap::new()).unwrap(), Fill::default());
        let wrong = HashMap::from([("fill", r#"{"people": 3}"#.to_owned())]);
        assert!(fill(&wrong).is_err());
    }
}
