//! The flags of `serve` by which others watch it.

use std::net::SocketAddr;

use clap::Args;

/// Who watches.
#[derive(Args, Debug)]
pub(super) struct Watched {
    /// A listener for Prometheus, with /metrics, /livez and /readyz. It asks nobody to sign in and names your services, so let only
    /// your monitoring reach it. Sockets of systemd with FileDescriptorName=metrics are used in its place
    #[arg(long, value_name = "ADDR:PORT", value_delimiter = ',', env = "COUNTERFOIL_METRICS_LISTEN")]
    pub(super) metrics_listen: Vec<SocketAddr>,
}
