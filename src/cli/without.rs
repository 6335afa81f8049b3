//! What a server runs without, because its file or its address could not be had at the start. Callbacks do not wait for what is beside
//! them: whoever looks at the alarms learns of it.

use super::Failure;

/// The flags that nothing came of.
#[derive(Default)]
pub(super) struct Without(Vec<&'static str>);

impl Without {
    /// What a flag brings; nothing where it brings a failure, which is told.
    pub(super) fn try_with<T>(&mut self, flag: &'static str, brings: Result<T, Failure>) -> Option<T> {
        match brings {
            Ok(brings) => Some(brings),
            Err(failure) => {
                tracing::error!(
                    event = "serve.without",
                    flag,
                    "{}. Callbacks are taken, and the server runs without it: mend that, and start it again",
                    failure.words
                );
                if !self.0.contains(&flag) {
                    self.0.push(flag);
                }
                None
            }
        }
    }

    pub(super) fn flags(self) -> Vec<&'static str> {
        self.0
    }
}
