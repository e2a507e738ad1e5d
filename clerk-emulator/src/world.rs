//! What the handle, the server and the background task share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Notify;

use crate::emulator::Running;
use crate::entities::{Organization, User};
use crate::error::Error;
use crate::instance::Instance;
use crate::seed::{NewOrganization, NewUser};
use crate::webhooks::Attempt;
use crate::webhooks::delivery;
use crate::webhooks::queue::Job;

/// How often the background task looks for due deliveries, at least.
const TICK: Duration = Duration::from_millis(100);

/// One emulator.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) url: String,
    pub(crate) instance_id: String,
    pub(crate) secret_key: String,
    pub(crate) webhook_secret: String,
    pub(crate) user_limit: Option<u32>,
    pub(crate) http: reqwest::Client,
    pub(crate) instance: Mutex<Instance>,
    /// What a handle that is made later shares with the others.
    pub(crate) running: OnceLock<Weak<Running>>,
    is_auto: AtomicBool,
    wake: Notify,
}

/// In which order due deliveries are made, how often, and how many are lost.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Deliver {
    /// The order of the attempts.
    pub order: Order,
    /// How many times each message is delivered.
    pub repeat: usize,
    /// The share of messages that are lost instead, between 0 and 1.
    pub drop: f64,
}

impl Default for Deliver {
    fn default() -> Self {
        Self {
            order: Order::Fifo,
            repeat: 1,
            drop: 0.0,
        }
    }
}

/// An order of deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// As they were made.
    Fifo,
    /// The newest first.
    Reverse,
    /// Any order, repetitions apart from each other.
    Shuffle,
}

impl World {
    pub(crate) fn new(
        url: String,
        options: &crate::Options,
        instance: Instance,
    ) -> reqwest::Result<Self> {
        Ok(Self {
            url,
            instance_id: options.instance_id.clone(),
            secret_key: options.secret_key.clone(),
            webhook_secret: options.webhook_secret.clone(),
            user_limit: options.user_limit,
            http: delivery::client(options.webhook_timeout)?,
            instance: Mutex::new(instance),
            running: OnceLock::new(),
            is_auto: AtomicBool::new(options.auto_deliver),
            wake: Notify::new(),
        })
    }

    /// The state, for one step; whoever waits for new deliveries looks again after it.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Instance> {
        let instance = self.instance.lock().unwrap_or_else(PoisonError::into_inner);
        self.wake.notify_one();
        instance
    }

    /// Are due messages delivered without being asked to?
    pub(crate) fn set_auto(&self, is_on: bool) {
        self.is_auto.store(is_on, Ordering::Relaxed);
        self.wake.notify_one();
    }

    /// Adds users and organizations from a seed; without a sound if it says so.
    pub(crate) fn seed(&self, seed: Seed) -> Result<Seeded, Error> {
        let users: Vec<NewUser> = seed
            .users
            .into_iter()
            .map(NewUser::parse)
            .collect::<Result<_, _>>()?;
        let organizations: Vec<NewOrganization> = seed
            .organizations
            .into_iter()
            .map(NewOrganization::parse)
            .collect::<Result<_, _>>()?;
        let mut instance = self.lock();
        let was_silent = instance.is_silent;
        instance.is_silent |= seed.silent;
        let seeded = Seeded::create(&mut instance, users, organizations);
        instance.is_silent = was_silent;
        seeded
    }

    /// Makes the attempts that are due, one after the other.
    pub(crate) async fn deliver_due(&self, deliver: &Deliver) -> Vec<Attempt> {
        let mut jobs = {
            let mut instance = self.lock();
            let now = instance.now();
            instance.queue.start_due(now)
        };
        jobs.retain(|job| {
            let is_lost = fastrand::f64() < deliver.drop;
            if is_lost {
                self.lock().queue.remove(&job.message_id);
            }
            !is_lost
        });
        if deliver.repeat == 0 {
            for job in jobs.drain(..) {
                self.lock().queue.put_back(&job);
            }
        }
        let mut attempts: Vec<Job> = match deliver.order {
            Order::Fifo | Order::Reverse => jobs
                .into_iter()
                .flat_map(|job| std::iter::repeat_n(job, deliver.repeat))
                .collect(),
            Order::Shuffle => std::iter::repeat_n(jobs, deliver.repeat)
                .flatten()
                .collect(),
        };
        match deliver.order {
            Order::Fifo => {}
            Order::Reverse => attempts.reverse(),
            Order::Shuffle => fastrand::shuffle(&mut attempts),
        }
        self.make_all(attempts).await
    }

    /// Makes one attempt for this message at every endpoint.
    pub(crate) async fn deliver_one(&self, message_id: &str) -> Vec<Attempt> {
        let jobs = {
            let mut instance = self.lock();
            let now = instance.now();
            instance.queue.start_one(message_id, now)
        };
        self.make_all(jobs).await
    }

    async fn make_all(&self, jobs: Vec<Job>) -> Vec<Attempt> {
        let mut attempts = Vec::new();
        for job in jobs {
            attempts.push(self.make(&job).await);
        }
        attempts
    }

    async fn make(&self, job: &Job) -> Attempt {
        let (attempt, outcome) = delivery::attempt(&self.http, job).await;
        let mut instance = self.lock();
        let now = instance.now();
        instance.queue.record(&attempt, outcome, now);
        tracing::info!(
            svix.id = attempt.message_id,
            status = attempt.status,
            is_success = attempt.is_success,
            "webhook delivered"
        );
        attempt
    }
}

/// Users and organizations to add.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seed {
    #[serde(default)]
    users: Vec<Value>,
    #[serde(default)]
    organizations: Vec<Value>,
    /// Make no webhooks.
    #[serde(default)]
    silent: bool,
}

impl Seed {
    pub(crate) fn silent(users: Vec<Value>) -> Self {
        Self {
            users,
            organizations: Vec::new(),
            silent: true,
        }
    }
}

/// What a seed added.
#[derive(Debug, Serialize)]
pub(crate) struct Seeded {
    pub(crate) users: Vec<User>,
    pub(crate) organizations: Vec<Organization>,
}

impl Seeded {
    fn create(
        instance: &mut Instance,
        users: Vec<NewUser>,
        organizations: Vec<NewOrganization>,
    ) -> Result<Self, Error> {
        let users = users.into_iter().map(|user| user.create(instance));
        let users = users.collect::<Result<_, _>>()?;
        let organizations = organizations.into_iter().map(|one| one.create(instance));
        Ok(Self {
            users,
            organizations: organizations.collect::<Result<_, _>>()?,
        })
    }
}

/// Delivers what is due whenever deliveries are automatic; never returns.
pub(crate) async fn deliver_in_background(world: Arc<World>) {
    loop {
        if world.is_auto.load(Ordering::Relaxed) {
            let jobs = {
                let mut instance = world
                    .instance
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                let now = instance.now();
                instance.queue.start_due(now)
            };
            for job in jobs {
                let world = Arc::clone(&world);
                tokio::spawn(async move { world.make(&job).await });
            }
        }
        // A timeout only means that nobody called.
        drop(tokio::time::timeout(TICK, world.wake.notified()).await);
    }
}
