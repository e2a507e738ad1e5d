//! AWS Lambda on loopback, for tests and benchmarks: never shipped.
//!
//! A [`Host`] starts a function's binary as Lambda does: one process per concurrent invocation,
//! reused while it lives, killed at its timeout, replaced after a crash. It answers the Runtime
//! API with real deadlines, and a test can freeze, thaw and kill what it runs.
//! It imports nothing of ours, so that it cannot share our mistakes.
//!
//! A frozen sandbox thaws by itself when an invocation comes, as on AWS.
//! Not there: layers, extensions, streamed responses, asynchronous invocations, memory limits.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fmt, io};

use axum::body::Bytes;
use serde_json::Value;
use tokio::task::AbortHandle;

use crate::gateway::Route;
use crate::sandbox::{Ended, Sandbox};

pub mod gateway;
mod sandbox;

/// How many lines of a function's output are kept.
const MAX_LOG_LINES: usize = 10_000;

/// What a [`Host`] runs.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The functions, by their names.
    pub functions: Vec<Function>,
}

/// A function as it is deployed.
#[derive(Clone)]
pub struct Function {
    /// What it is invoked by.
    pub name: String,
    /// The program; what Lambda calls `bootstrap`.
    pub binary: PathBuf,
    /// Its environment, besides what Lambda sets. Nothing else is inherited.
    pub env: BTreeMap<String, String>,
    /// When an invocation is killed.
    pub timeout: Duration,
    /// How many invocations run at once; one more is throttled.
    pub max_concurrency: usize,
    /// `AWS_LAMBDA_FUNCTION_MEMORY_SIZE`: a label, nothing limits the process.
    pub memory_mb: u32,
}

/// How an invocation ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The function answered.
    Response(Value),
    /// The function reported an error.
    FunctionError {
        /// For programs.
        error_type: String,
        /// For people.
        message: String,
    },
    /// The function reported that it cannot start, or could not be started.
    InitError {
        /// For programs.
        error_type: String,
        /// For people.
        message: String,
    },
    /// The function took too long, and its sandbox was killed.
    TimedOut,
    /// The process ended without an answer.
    Crashed {
        /// How the process ended.
        status: ExitStatus,
    },
    /// As many invocations as may run at once are running.
    Throttled,
    /// There is no function of that name.
    NotFound,
}

/// A host could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program of a function is not there.
    #[error("{name}: there is no program {binary}; build it first")]
    NoBinary {
        /// The function.
        name: String,
        /// Where it was looked for.
        binary: PathBuf,
    },
    /// A route leads to a function that is not there.
    #[error("the route {route} leads to {function}, which is no function of this host")]
    NoFunction {
        /// The route.
        route: String,
        /// What it leads to.
        function: String,
    },
    /// The gateway cannot listen.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Functions that can be invoked. All of their processes end when it is dropped.
#[derive(Debug)]
pub struct Host {
    inner: Arc<Inner>,
    gateways: Mutex<Vec<AbortHandle>>,
}

impl Host {
    /// Takes the functions. No process starts before its first invocation.
    pub fn start(options: Options) -> Result<Self, Error> {
        let mut functions = BTreeMap::new();
        for function in options.functions {
            let name = function.name.clone();
            let Ok(binary) = function.binary.canonicalize() else {
                return Err(Error::NoBinary {
                    name,
                    binary: function.binary,
                });
            };
            let function = Function { binary, ..function };
            functions.insert(name, Deployed::new(function));
        }
        let inner = Inner {
            functions,
            is_closed: AtomicBool::new(false),
        };
        Ok(Self {
            inner: Arc::new(inner),
            gateways: Mutex::default(),
        })
    }

    /// Invokes a function and waits for how it ends.
    pub async fn invoke(&self, function: &str, event: &Value) -> Outcome {
        self.inner
            .invoke(function, Bytes::from(event.to_string()))
            .await
    }

    /// Starts an HTTP gateway in front of the functions and says where it listens.
    /// Beside the routes it answers Lambda's own `Invoke`.
    pub async fn gateway(
        &self,
        address: SocketAddr,
        routes: Vec<Route>,
    ) -> Result<SocketAddr, Error> {
        for route in &routes {
            if !self.inner.functions.contains_key(&route.function) {
                let function = route.function.clone();
                return Err(Error::NoFunction {
                    route: route.to_string(),
                    function,
                });
            }
        }
        let listen = gateway::listen(Arc::clone(&self.inner), address, routes).await;
        let (address, task) = listen.map_err(|source| Error::Listen { address, source })?;
        lock(&self.gateways).push(task);
        Ok(address)
    }

    /// Stops all idle sandboxes of a function in their tracks, as Lambda does between invocations.
    pub async fn freeze(&self, function: &str) {
        for sandbox in self.inner.idle(function) {
            sandbox.freeze().await;
        }
    }

    /// Lets all idle sandboxes of a function run on.
    pub fn thaw(&self, function: &str) {
        for sandbox in self.inner.idle(function) {
            sandbox.thaw();
        }
    }

    /// Kills all sandboxes of a function, also in the middle of an invocation.
    pub async fn kill(&self, function: &str) {
        for sandbox in self.inner.sandboxes(function) {
            sandbox.kill();
            sandbox.exited().await;
        }
    }

    /// The process ids of a function's living sandboxes.
    pub fn pids(&self, function: &str) -> Vec<u32> {
        let alive = |sandbox: Arc<Sandbox>| sandbox.is_alive().then(|| sandbox.pid());
        self.inner
            .sandboxes(function)
            .into_iter()
            .filter_map(alive)
            .collect()
    }

    /// What a function wrote to its two outputs, line by line; the last lines only, if there
    /// are very many.
    pub fn logs(&self, function: &str) -> Vec<String> {
        let deployed = self.inner.functions.get(function);
        deployed
            .map(|deployed| deployed.logs.lines())
            .unwrap_or_default()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.inner.is_closed.store(true, Ordering::SeqCst);
        for task in lock(&self.gateways).drain(..) {
            task.abort();
        }
        for deployed in self.inner.functions.values() {
            for sandbox in deployed.sandboxes() {
                sandbox.kill();
            }
            lock(&deployed.pool).idle.clear();
        }
    }
}

impl Function {
    /// A function with the defaults of the tests: 10 seconds, one invocation at once, 512 MB.
    pub fn new(name: impl Into<String>, binary: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            binary: binary.into(),
            env: BTreeMap::new(),
            timeout: Duration::from_secs(10),
            max_concurrency: 1,
            memory_mb: 512,
        }
    }

    /// With one variable more in its environment.
    #[must_use]
    pub fn env(mut self, variable: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(variable.into(), value.into());
        self
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Settings are secrets more often than not.
        let Self {
            name,
            binary,
            env,
            timeout,
            max_concurrency,
            memory_mb,
        } = self;
        f.debug_struct("Function")
            .field("name", name)
            .field("binary", binary)
            .field("env", &env.keys())
            .field("timeout", timeout)
            .field("max_concurrency", max_concurrency)
            .field("memory_mb", memory_mb)
            .finish()
    }
}

/// The functions, as the host and its gateways share them.
#[derive(Debug)]
struct Inner {
    functions: BTreeMap<String, Deployed>,
    is_closed: AtomicBool,
}

/// A function and its sandboxes.
#[derive(Debug)]
struct Deployed {
    function: Function,
    pool: Mutex<Pool>,
    logs: Arc<Logs>,
}

#[derive(Debug, Default)]
struct Pool {
    idle: Vec<Arc<Sandbox>>,
    busy: Vec<Arc<Sandbox>>,
}

/// A sandbox during one invocation. Dropped, it is killed, unless it was given back.
struct Busy<'a> {
    deployed: &'a Deployed,
    sandbox: Arc<Sandbox>,
}

/// The last lines that a function wrote.
#[derive(Debug, Default)]
struct Logs {
    lines: Mutex<VecDeque<String>>,
}

impl Inner {
    async fn invoke(&self, function: &str, event: Bytes) -> Outcome {
        let Some(deployed) = self.functions.get(function) else {
            return Outcome::NotFound;
        };
        loop {
            if self.is_closed.load(Ordering::SeqCst) {
                return Outcome::Throttled;
            }
            let busy = match deployed.take() {
                Ok(Some(busy)) => busy,
                Ok(None) => return Outcome::Throttled,
                Err(error) => {
                    let error_type = "Runtime.InvalidEntrypoint".to_owned();
                    return Outcome::InitError {
                        error_type,
                        message: error.to_string(),
                    };
                }
            };
            match busy.sandbox.invoke(event.clone()).await {
                Ended::Reusable(outcome) => {
                    busy.give_back();
                    return outcome;
                }
                Ended::Dead(outcome) => return outcome,
                // It died after its last answer: nobody's fault, another one takes the event.
                Ended::WasDead => {}
            }
        }
    }

    fn idle(&self, function: &str) -> Vec<Arc<Sandbox>> {
        let deployed = self.functions.get(function);
        deployed
            .map(|deployed| lock(&deployed.pool).idle.clone())
            .unwrap_or_default()
    }

    fn sandboxes(&self, function: &str) -> Vec<Arc<Sandbox>> {
        self.functions
            .get(function)
            .map(Deployed::sandboxes)
            .unwrap_or_default()
    }
}

impl Deployed {
    fn new(function: Function) -> Self {
        Self {
            function,
            pool: Mutex::default(),
            logs: Arc::default(),
        }
    }

    /// An idle sandbox, or a new one; none when all that there may be are busy.
    fn take(&self) -> io::Result<Option<Busy<'_>>> {
        let mut pool = lock(&self.pool);
        let sandbox = match pool.idle.pop() {
            Some(sandbox) => sandbox,
            None if pool.busy.len() >= self.function.max_concurrency => return Ok(None),
            None => Arc::new(Sandbox::start(&self.function, &self.logs)?),
        };
        pool.busy.push(Arc::clone(&sandbox));
        Ok(Some(Busy {
            deployed: self,
            sandbox,
        }))
    }

    fn sandboxes(&self) -> Vec<Arc<Sandbox>> {
        let pool = lock(&self.pool);
        pool.idle.iter().chain(&pool.busy).map(Arc::clone).collect()
    }
}

impl Busy<'_> {
    fn give_back(self) {
        lock(&self.deployed.pool)
            .idle
            .push(Arc::clone(&self.sandbox));
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let mut pool = lock(&self.deployed.pool);
        pool.busy.retain(|busy| !Arc::ptr_eq(busy, &self.sandbox));
        if !pool
            .idle
            .iter()
            .any(|idle| Arc::ptr_eq(idle, &self.sandbox))
        {
            self.sandbox.kill();
        }
    }
}

impl Logs {
    fn push(&self, line: String) {
        let mut lines = lock(&self.lines);
        if lines.len() == MAX_LOG_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    fn lines(&self) -> Vec<String> {
        lock(&self.lines).iter().cloned().collect()
    }
}

/// What a mutex holds, even if a holder panicked: tests panic, and the rest must end cleanly.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
