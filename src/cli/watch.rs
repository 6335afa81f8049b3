//! Long work that a person waits for: shown as it goes on, and stopped by Ctrl-C.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::{Failure, serve, tell};
use crate::store::{Progress, Reached, Stage};

/// How often the work is looked at.
const LOOKS_EVERY: Duration = Duration::from_millis(100);
/// How often it is said, without a terminal, how far it is.
const SAID_EVERY: Duration = Duration::from_secs(5);

/// Runs the work off the async threads to its end. A signal asks it to stop, and it is waited for until it has.
pub(super) async fn watch<T: Send + 'static>(work: impl FnOnce(&Progress) -> T + Send + 'static) -> Result<T, Failure> {
    let progress = Progress::default();
    let mut stopped = std::pin::pin!(serve::stop_signal(true)?);
    let mut display = Display::new();
    let theirs = progress.clone();
    let mut running = tokio::task::spawn_blocking(move || work(&theirs));
    let mut looks = tokio::time::interval(LOOKS_EVERY);
    let mut asked = false;
    let done = loop {
        tokio::select! {
            done = &mut running => break done,
            _ = looks.tick() => display.show(progress.reached()),
            () = stopped.as_mut(), if !asked => {
                asked = true;
                progress.stop();
            }
        }
    };
    display.clear();
    done.map_err(|_| Failure::new("the program failed by a fault of its own. Nothing was changed"))
}

/// A bar on a terminal, and elsewhere a line now and then.
struct Display {
    bar: Option<ProgressBar>,
    stage: Stage,
    said_at: Instant,
}

impl Display {
    fn new() -> Display {
        let bar = io::stderr().is_terminal().then(ProgressBar::no_length);
        Display { bar, stage: Stage::Waiting, said_at: Instant::now() }
    }

    fn show(&mut self, reached: Reached) {
        let Some(words) = words(reached.stage) else { return };
        match &self.bar {
            Some(bar) => {
                if self.stage != reached.stage {
                    self.stage = reached.stage;
                    if let Ok(style) = ProgressStyle::with_template(template(reached)) {
                        bar.set_style(style);
                    }
                    bar.set_message(words);
                    bar.reset();
                }
                bar.set_length(reached.of);
                bar.set_position(reached.done);
                bar.tick();
            }
            None if self.said_at.elapsed() >= SAID_EVERY => {
                self.said_at = Instant::now();
                tell(&line(words, reached));
            }
            None => (),
        }
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn words(stage: Stage) -> Option<&'static str> {
    match stage {
        Stage::Waiting => None,
        Stage::Copying => Some("Copying"),
        Stage::Checking => Some("Checking for damage"),
        Stage::Encrypting => Some("Encrypting"),
        Stage::Counting => Some("Counting"),
        Stage::Gathering => Some("Looking through the store"),
        Stage::Exporting => Some("Exporting"),
        Stage::Importing => Some("Importing"),
        Stage::Redacting => Some("Redacting"),
        Stage::Holding => Some("Holding"),
        Stage::Removing => Some("Removing"),
        Stage::Forgetting => Some("Clearing the index"),
        Stage::Comparing => Some("Comparing with the index"),
        Stage::Notifications => Some("Reading notifications"),
        Stage::ReceivedTexts => Some("Reading received text messages"),
    }
}

fn template(reached: Reached) -> &'static str {
    if reached.of == 0 { "{spinner} {msg}, {elapsed}" } else { "{msg} {bar:30} {percent} %, {eta} left" }
}

fn line(words: &str, reached: Reached) -> String {
    if reached.of == 0 {
        return format!("{words}…");
    }
    format!("{words}: {} %", reached.done.saturating_mul(100) / reached.of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_not_said() {
        let reached = |done, of| Reached { stage: Stage::Copying, done, of };
        assert_eq!(line("Copying", reached(1, 4)), "Copying: 25 %");
        assert_eq!(line("Checking for damage", reached(0, 0)), "Checking for damage…");
    }
}
