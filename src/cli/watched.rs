//! The flags of `serve` by which others watch it, and are told what is wrong.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::unsaid::unsaid;
use crate::upkeep::{Outlets, Webhook};

/// Who watches, and who is told.
#[derive(Args, Debug)]
pub(super) struct Watched {
    /// A listener for Prometheus, with /metrics, /livez and /readyz. It asks nobody to sign in and names your services, so let only
    /// your monitoring reach it. Sockets of systemd with FileDescriptorName=metrics are used in its place
    #[arg(long, value_name = "ADDR:PORT", value_delimiter = ',', env = "COUNTERFOIL_METRICS_LISTEN")]
    pub(super) metrics_listen: Vec<SocketAddr>,
    /// Post each alarm there as JSON when it begins, each day while it stands and when it ends; Slack, Teams and Mattermost show its
    /// text. It has to be https, or of this machine. Nothing personal is in it
    #[arg(long, value_name = "URL", value_parser = unsaid(webhook), env = "COUNTERFOIL_ALARM_WEBHOOK")]
    alarm_webhook: Option<Webhook>,
    /// Run this program for each alarm, with the same JSON on its standard input, and in its environment. It has 30 seconds
    #[arg(long, value_name = "PATH", env = "COUNTERFOIL_ALARM_COMMAND")]
    alarm_command: Option<PathBuf>,
}

fn webhook(typed: &str) -> Result<Webhook, String> {
    typed.parse::<Webhook>().map_err(|wrong| wrong.to_string())
}

impl Watched {
    /// Where alarms go to, and how this server is called there.
    pub(super) fn outlets(&self, server: Option<String>) -> Outlets {
        Outlets { webhook: self.alarm_webhook.clone(), command: self.alarm_command.clone(), server }
    }
}
