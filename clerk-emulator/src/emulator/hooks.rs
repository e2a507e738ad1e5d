//! What a test lets happen between the calls of somebody else.
//!
//! Each hook gets the handle and may do with it what a test does: make, change and delete things,
//! silently or not, order faults, set further hooks. It must not wait for an answer of the emulator.

use super::Emulator;
use crate::faults::Matcher;
use crate::hooks::{Hook, Moment};

impl Emulator {
    /// Does something just before the `n`-th of these calls from now on is looked at.
    ///
    /// The first one is 1. The path is the start of path and query, as it is for a fault.
    pub fn before_request(
        &self,
        n: u32,
        method: &str,
        path_prefix: &str,
        work: impl FnOnce(&Emulator) + Send + 'static,
    ) {
        let matcher = Matcher::new(method, path_prefix);
        self.hook(Hook::nth(Moment::Before, n, matcher, work));
    }

    /// Does something when the answer to the `n`-th of these calls is fixed, and before the
    /// caller has it: between this page of a list and the next.
    pub fn after_request(
        &self,
        n: u32,
        method: &str,
        path_prefix: &str,
        work: impl FnOnce(&Emulator) + Send + 'static,
    ) {
        let matcher = Matcher::new(method, path_prefix);
        self.hook(Hook::nth(Moment::After, n, matcher, work));
    }

    /// Does something just before each of these calls is looked at.
    pub fn before_each_request(
        &self,
        method: &str,
        path_prefix: &str,
        work: impl FnMut(&Emulator) + Send + 'static,
    ) {
        let matcher = Matcher::new(method, path_prefix);
        self.hook(Hook::each(Moment::Before, matcher, work));
    }

    /// Does something when the answer to each of these calls is fixed, and before the caller has
    /// it.
    pub fn after_each_request(
        &self,
        method: &str,
        path_prefix: &str,
        work: impl FnMut(&Emulator) + Send + 'static,
    ) {
        let matcher = Matcher::new(method, path_prefix);
        self.hook(Hook::each(Moment::After, matcher, work));
    }

    /// Takes back all hooks.
    pub fn clear_hooks(&self) {
        self.world.lock().hooks.clear();
    }

    fn hook(&self, hook: Hook) {
        self.world.lock().hooks.push(hook);
    }
}
