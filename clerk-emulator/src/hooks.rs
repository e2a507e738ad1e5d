//! What a test does just before a call is answered, or just after it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use http::{Method, Uri};

use crate::emulator::Emulator;
use crate::faults::Matcher;
use crate::world::World;

/// On which side of the answer a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The call sees what the hook has done.
    Before,
    /// The answer is fixed and the caller does not have it yet.
    After,
}

type Work = Arc<Mutex<dyn FnMut(&Emulator) + Send>>;

/// Something to do at a call, or at each of them.
pub(crate) struct Hook {
    moment: Moment,
    matcher: Matcher,
    /// How many calls are to come first; without a number it runs at every call.
    n_to_come: Option<u32>,
    work: Work,
}

impl Hook {
    /// Runs once, at the `n`-th call from now on; the first one is 1.
    pub(crate) fn nth(
        moment: Moment,
        n: u32,
        matcher: Matcher,
        work: impl FnOnce(&Emulator) + Send + 'static,
    ) -> Self {
        let mut work = Some(work);
        let once = move |emulator: &Emulator| {
            if let Some(work) = work.take() {
                work(emulator);
            }
        };
        Self {
            n_to_come: Some(n.saturating_sub(1)),
            ..Self::each(moment, matcher, once)
        }
    }

    /// Runs at each call.
    pub(crate) fn each(
        moment: Moment,
        matcher: Matcher,
        work: impl FnMut(&Emulator) + Send + 'static,
    ) -> Self {
        Self {
            moment,
            matcher,
            n_to_come: None,
            work: Arc::new(Mutex::new(work)),
        }
    }

    /// Counts a call; is it the one, or one of those, at which the hook runs?
    fn counts(&mut self) -> bool {
        match &mut self.n_to_come {
            None | Some(0) => true,
            Some(n) => {
                *n -= 1;
                false
            }
        }
    }
}

/// All hooks, in the order in which they were set.
#[derive(Debug, Default)]
pub(crate) struct Hooks(Vec<Hook>);

impl Hooks {
    pub(crate) fn push(&mut self, hook: Hook) {
        self.0.push(hook);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// What is to run at this call; what runs only once is taken out.
    pub(crate) fn take(&mut self, method: &Method, uri: &Uri) -> Due {
        let mut due = Due::default();
        self.0.retain_mut(|hook| {
            if !hook.matcher.hits(method, uri) || !hook.counts() {
                return true;
            }
            due.0.push((hook.moment, Arc::clone(&hook.work)));
            hook.n_to_come.is_none()
        });
        due
    }
}

/// What is to run at one call.
#[derive(Default)]
pub(crate) struct Due(Vec<(Moment, Work)>);

impl Due {
    /// Runs what is due at this moment; the state must not be locked.
    pub(crate) fn run(&self, moment: Moment, world: &Arc<World>) {
        let mut due = self.0.iter().filter(|(at, _)| *at == moment).peekable();
        if due.peek().is_none() {
            return;
        }
        // Once the last handle is gone, nobody can expect anything of a hook.
        let Some(emulator) = Emulator::of(world) else {
            return;
        };
        for (_, work) in due {
            let mut work = work.lock().unwrap_or_else(PoisonError::into_inner);
            work(&emulator);
        }
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook")
            .field("moment", &self.moment)
            .field("matcher", &self.matcher)
            .field("n_to_come", &self.n_to_come)
            .finish_non_exhaustive()
    }
}
