//! Flags whose value may be a secret or somebody's data: what is wrong with one is said without it, since standard error may be a log.

use std::ffi::OsStr;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Command, Error};

/// Reads a value that is never said.
#[derive(Clone)]
pub(super) struct Unsaid<T>(fn(&str) -> Result<T, String>);

/// Reads a value by this, and says what is wrong with it without it.
pub(super) fn unsaid<T>(read: fn(&str) -> Result<T, String>) -> Unsaid<T> {
    Unsaid(read)
}

impl<T: Clone + Send + Sync + 'static> TypedValueParser for Unsaid<T> {
    type Value = T;

    fn parse_ref(&self, command: &Command, flag: Option<&Arg>, value: &OsStr) -> Result<T, Error> {
        let read = value.to_str().ok_or_else(|| "it is no UTF-8".to_owned()).and_then(self.0);
        read.map_err(|wrong| {
            let flag = flag.map(ToString::to_string).unwrap_or_default();
            Error::raw(ErrorKind::ValueValidation, format!("invalid value for '{flag}': {wrong}\n")).with_cmd(command)
        })
    }
}
