//! Whether alarms get out: the command can be run, and somebody answers where they are posted. Nothing is sent.

use std::time::Duration;

use super::{Alarms, Finding};
use crate::outgoing::{Server, Unmet};

const MET_WITHIN: Duration = Duration::from_secs(5);

pub(super) async fn look(alarms: &Alarms, tell: &mut dyn FnMut(Finding)) {
    if !alarms.are_told {
        return tell(Finding::warning(
            "alarms",
            "alarms are told to nobody: they stand under Status and in the log",
            "Give --alarm-webhook or --alarm-command to the server, unless Prometheus watches it.",
        ));
    }
    match &alarms.command {
        Some(Ok(())) => tell(Finding::good("alarms", "the command for alarms can be run")),
        Some(Err(why)) => tell(Finding::bad(
            "alarms",
            format!("the command for alarms cannot be run: {why}"),
            "Look at --alarm-command: it must name a program that the server’s user may run.",
        )),
        None => (),
    }
    if let Some(server) = &alarms.webhook {
        tell(webhook(server).await);
    }
}

/// The address may hold a secret: only the host is named.
async fn webhook(server: &Server) -> Finding {
    let (host, to_do) = (server.host(), "Look at --alarm-webhook, at DNS, and at what lets this machine out.");
    let bad = |found: String| Finding::bad("alarms", found, to_do);
    let addresses = match server.addresses().await {
        Ok(addresses) => addresses,
        Err(error) => return bad(format!("alarms do not get out: the name {host} leads nowhere: {error}")),
    };
    let mut why = "it leads nowhere".to_owned();
    for at in addresses {
        why = match server.meet(at, MET_WITHIN).await {
            Ok(_) => return Finding::good("alarms", format!("{host} answers, where alarms are posted")),
            Err(Unmet::Silent) => "nobody answers".to_owned(),
            Err(Unmet::Refused(error)) => error.to_string(),
            Err(Unmet::Untrusted(error)) => error.to_string(),
            Err(Unmet::CutOff) => "the connection ended before TLS was agreed on".to_owned(),
        };
    }
    bad(format!("alarms do not get out to {host}: {why}"))
}
