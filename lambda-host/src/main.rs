//! Runs functions on loopback, behind Lambda's `Invoke` and a gateway of one's own routes.
//!
//! ```text
//! lambda-host --listen 127.0.0.1:9000 --function echo=target/release/echo \
//!     --env KEY=VALUE --timeout 10 --concurrency 4 --route 'POST /api/echo=echo'
//! ```
//!
//! `--env`, `--timeout` and `--concurrency` are for all functions; `--logs` shows their output.
//! It says where it listens on standard output, and ends at Ctrl-C.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use lambda_host::gateway::Route;
use lambda_host::{Function, Host, Options};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::LevelFilter;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    let level = if arguments.logs {
        LevelFilter::DEBUG
    } else {
        LevelFilter::INFO
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .init();

    let host = Host::start(Options {
        functions: arguments.functions,
    })?;
    let address = host.gateway(arguments.listen, arguments.routes).await?;
    writeln!(std::io::stdout(), "listening on http://{address}")?;

    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// What the command line says.
struct Arguments {
    listen: SocketAddr,
    functions: Vec<Function>,
    routes: Vec<Route>,
    logs: bool,
}

impl Arguments {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = arguments;
        let mut listen = "127.0.0.1:9000".to_owned();
        let mut functions = Vec::new();
        let mut routes = Vec::new();
        let mut env = BTreeMap::new();
        let mut timeout = Duration::from_secs(10);
        let mut max_concurrency = 1;
        let mut logs = false;
        while let Some(flag) = arguments.next() {
            if flag == "--logs" {
                logs = true;
                continue;
            }
            let value = arguments
                .next()
                .ok_or_else(|| format!("{flag} needs a value"))?;
            match flag.as_str() {
                "--listen" => listen = value,
                "--function" => functions.push(pair(&value)?),
                "--env" => env.extend([pair(&value)?]),
                "--timeout" => timeout = Duration::from_secs(number(&flag, &value)?),
                "--concurrency" => max_concurrency = number(&flag, &value)?,
                "--route" => {
                    routes.push(value.parse().map_err(|error| format!("{value}: {error}"))?);
                }
                _ => return Err(format!("{flag} is not known")),
            }
        }
        let listen = listen
            .parse()
            .map_err(|_| format!("{listen} is no address with a port"))?;
        let functions = functions.into_iter().map(|(name, binary)| {
            let env = env.clone();
            Function {
                env,
                timeout,
                max_concurrency,
                ..Function::new(name, binary)
            }
        });
        Ok(Self {
            listen,
            functions: functions.collect(),
            routes,
            logs,
        })
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("{text} is no NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}

fn number<T: std::str::FromStr>(flag: &str, value: &str) -> Result<T, String> {
    value
        .parse()
        .map_err(|_| format!("{flag} is a whole number, not {value}"))
}
