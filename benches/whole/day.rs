//! A day of all of Notify: five million receipts, of which a million come at once after midnight. They are sent as fast as they
//! are taken, which is faster than they would come.

use serde::{Deserialize, Serialize};

use crate::Asked;
use crate::filled::Place;
use crate::kept::Kept;
use crate::load::{Load, Measured, Running};
use crate::machine;
use crate::report::Report;
use crate::sides::Side;

const BURST: u64 = 1_000_000;
const REST: u64 = 4_000_000;
/// A whole day where at least so many rows were asked for, and of less as large a part.
const WHOLE: u64 = 10_000_000;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Day {
    /// What part of a day it was.
    pub(crate) scale: f64,
    pub(crate) burst: Measured,
    pub(crate) rest: Measured,
}

impl Day {
    pub(crate) fn minutes(&self) -> f64 {
        (self.burst.took + self.rest.took) / 60.0
    }
}

pub(crate) fn measure(asked: &Asked, report: &mut Report) {
    let part = asked.rows.min(WHOLE);
    let place = Place::temporary();
    let server = Running::start(Side::Counterfoil.command(&place.folder));
    let sync = machine::sync_times(&place.folder);
    let send = |count: u64| Load::of(&server, &place.folder, sync, 64, machine::seed(), count * part / WHOLE).finish();
    let burst = send(BURST);
    eprintln!("the burst: {burst}");
    let rest = send(REST);
    eprintln!("the rest:  {rest}");
    server.stop("-TERM");
    let (stored, acknowledged) = (Side::Counterfoil.stored(&place.folder), burst.acknowledged + rest.acknowledged);
    assert!(stored >= Some(acknowledged), "{stored:?} of {acknowledged} acknowledged rows are there");
    let day = Kept::now(asked, Day { scale: part as f64 / WHOLE as f64, burst, rest });
    if asked.write {
        day.write("day");
    }
    report.day = Some(day);
}
