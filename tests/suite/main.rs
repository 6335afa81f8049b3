//! The product as its users meet it: the real binary, real sockets, real files.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::missing_panics_doc,
    reason = "a test that cannot go on fails"
)]

mod acme;
mod alarms;
mod asvs;
mod audit;
mod backfill;
mod backups;
mod bodies;
mod browser;
mod canaries;
mod checklist;
mod commands;
mod contacts;
mod contract;
mod damage;
mod doctor;
mod documents;
mod emails;
mod events;
mod files;
mod first_run;
mod first_week;
mod flags;
mod health;
mod help;
mod hostile;
mod inbox;
mod layers;
mod leaving;
mod limits;
mod live;
mod mail_server;
mod manual;
mod metrics;
mod notify_api;
mod oidc_provider;
mod packages;
mod pages;
mod passkeys;
mod people;
mod pictures;
mod prometheus;
mod proxies;
mod quarantine;
mod receipt;
mod retention;
mod roles;
mod sealed;
mod searches;
mod second_factor;
mod sent;
#[allow(dead_code, reason = "the faults use the rest")]
mod server;
mod sessions;
mod settings;
mod sign_in;
mod single_sign_on;
mod status;
mod subjects;
mod systemd;
mod tls;
mod tokens;
mod weight;
mod without;
mod words;
