//! Counterfoil keeps every callback of GOV.UK Notify and lets caseworkers find and read them.
//!
//! Two journeys pass through it:
//!
//! ```text
//! callback in    edge → web::callbacks → access (who sends?) → notify (bytes → domain) → store (one synced commit) → 200
//! page out       edge → web::<page>    → access (who asks?)  → store (one call)         → record (who saw it) → template → 200
//! ```
//!
//! Each step returns once and nothing calls back up. Who may use whom: `cli` → everything; `web` → `access`, `asking`, `disclosure`,
//! `meters`, `notify`, `store`, and from `edge` what a request carries; `upkeep` → `access`, `backfill`, `mail`, `meters`, `notify`, `outgoing`,
//! `store`; `disclosure` and `transfer` → `notify`, `store`; `backfill` → `outgoing`, `notify`, `store`; `asking` → `outgoing`, `notify`;
//! `doctor` → `access`, `edge`, `notify`,
//! `outgoing`, `store`; `access` → `oidc`, `store`; `oidc` → `outgoing`; `acme` → `edge`, `outgoing`; `store` → `flagging`, `meters`, `notify`; `flagging` → `notify`;
//! `edge`, `mail`, `meters`, `outgoing` and `notify` → nothing of ours. `clock` is
//! the time, for those who may ask for it;
//! `made_up` invents callbacks for `cli` and the benchmarks; `meters` is what `store`, `web` and `upkeep` count in.

pub mod access;
pub mod acme;
pub mod asking;
pub mod backfill;
pub mod cli;
pub mod clock;
pub mod disclosure;
pub mod doctor;
pub mod edge;
pub mod flagging;
#[cfg(test)]
#[path = "../tests/faults/fuzzing.rs"]
mod fuzzing;
pub mod made_up;
pub mod mail;
pub mod meters;
pub mod notify;
pub mod oidc;
pub mod outgoing;
pub mod spreadsheet;
pub mod store;
pub mod transfer;
pub mod upkeep;
pub mod web;
