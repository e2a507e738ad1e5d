//! Progress bars on stderr; where there is no terminal, a line for each step.

use std::cell::RefCell;
use std::sync::LazyLock;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use shared::db::runs::{Count, Progress, State, Watched};

use crate::output;
use crate::words;

const STYLE: &str = "{prefix:>22} {bar:30} {pos:>7} of {len}";

/// All bars of the process. Whatever else writes to stderr has to know them, or it is drawn over.
static ALL: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Finds a count among the others.
type Counter = fn(&Progress) -> Count;

/// One bar for each thing that a run does.
pub(crate) struct Bars {
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
        let kinds: [(&str, Counter); 6] = [
            ("users listed", |it| it.users),
            ("organizations listed", |it| it.organizations),
            ("memberships listed", |it| it.memberships),
            ("asked about alone", |it| it.asked),
            ("compared", |it| it.compared),
            ("mended", |it| it.repaired),
        ];
        let counted = kinds.map(|(name, count)| (count, bar(name, 0)));
        Self {
            counted: counted.into(),
            said: RefCell::default(),
        }
    }

    pub(crate) fn show(&self, run: &Watched) {
        for (count, bar) in &self.counted {
            let Count { done, total } = count(&run.progress);
            bar.set_length(total.max(done));
            bar.set_position(done);
        }
        self.tell(run);
    }

    pub(crate) fn clear(&self) {
        for (_, bar) in &self.counted {
            bar.finish_and_clear();
        }
    }

    /// Says what is being done, and what goes wrong, when that is news.
    fn tell(&self, run: &Watched) {
        let mut said = self.said.borrow_mut();
        if said.state != Some(run.state) {
            said.state = Some(run.state);
            if run.state.is_open() {
                note(&format!("{} …", words::state(run.state)));
            }
        }
        if said.error != run.last_error {
            said.error.clone_from(&run.last_error);
            if let (Some(error), true) = (&run.last_error, run.state.is_open()) {
                note(&format!(
                    "{} It goes on by itself.",
                    words::printable(error)
                ));
            }
        }
    }
}

/// Tells the user something, above the bars.
pub(crate) fn note(line: &str) {
    ALL.suspend(|| output::note(line));
}

/// A bar of so many things.
pub(crate) fn bar(name: &str, total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(STYLE);
    let bar = ALL.add(ProgressBar::new(total).with_prefix(name.to_owned()));
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
