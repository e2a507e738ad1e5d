//! Progress bars on stderr; where there is no terminal, a line for each step.

use std::cell::RefCell;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use shared::db::runs::{Count, Progress, Shown, State};

use crate::output;
use crate::words;

const STYLE: &str = "{prefix:>22} {bar:30} {pos:>7} of {len}";

/// Finds a count among the others.
type Counter = fn(&Progress) -> Count;

/// One bar for each thing that a run does.
pub(crate) struct Bars {
    all: MultiProgress,
    counted: Vec<(Counter, ProgressBar)>,
    said: RefCell<Said>,
}

/// What was said last.
#[derive(Default)]
struct Said {
    state: Option<State>,
    error: Option<String>,
}

impl Bars {
    pub(crate) fn new() -> Self {
        let all = MultiProgress::new();
        let kinds: [(&str, Counter); 6] = [
            ("users listed", |it| it.users),
            ("organizations listed", |it| it.organizations),
            ("memberships listed", |it| it.memberships),
            ("asked about alone", |it| it.asked),
            ("compared", |it| it.compared),
            ("mended", |it| it.repaired),
        ];
        let counted = kinds.map(|(name, count)| (count, all.add(bar(name, 0))));
        Self {
            counted: counted.into(),
            all,
            said: RefCell::default(),
        }
    }

    pub(crate) fn show(&self, run: &Shown) {
        for (count, bar) in &self.counted {
            let Count { done, total } = count(&run.progress);
            bar.set_length(total.max(done));
            bar.set_position(done);
        }
        self.tell(run);
    }

    pub(crate) fn clear(&self) {
        // What cannot be drawn needs no clearing.
        drop(self.all.clear());
    }

    /// Says what is being done, and what goes wrong, when that is news.
    fn tell(&self, run: &Shown) {
        let mut said = self.said.borrow_mut();
        if said.state != Some(run.state) {
            said.state = Some(run.state);
            self.note(
                &format!("{} …", words::state(run.state)),
                run.state.is_open(),
            );
        }
        if said.error != run.last_error {
            said.error.clone_from(&run.last_error);
            if let Some(error) = &run.last_error {
                let error = words::printable(error);
                self.note(
                    &format!("{error} It goes on by itself."),
                    run.state.is_open(),
                );
            }
        }
    }

    fn note(&self, line: &str, is_news: bool) {
        if is_news {
            self.all.suspend(|| output::note(line));
        }
    }
}

/// A bar of so many things.
pub(crate) fn bar(name: &str, total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(STYLE);
    let bar = ProgressBar::new(total).with_prefix(name.to_owned());
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
