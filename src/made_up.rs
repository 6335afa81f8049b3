//! Invented callbacks that look like real ones: references, numbers, addresses, templates, statuses, texts. The numbers are those
//! that Ofcom keeps free for drama. For `send`, `demo` and the benchmarks.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::clock::{DAY, MINUTE, SECOND};
use crate::notify::status::Status;
use crate::notify::{Callback, Complaint, Content, DeliveryReceipt, Kind, ReceivedText, ReturnedLetter, time};

/// One callback to send.
#[derive(Clone, Debug)]
pub struct Sending {
    /// Which path it goes to.
    pub kind: Kind,
    /// Notify's id.
    pub id: String,
    /// The bytes.
    pub body: Vec<u8>,
}

/// The kinds of callback to make.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// Delivery receipts.
    Receipts,
    /// Received text messages.
    Texts,
    /// Returned letters.
    Letters,
    /// Complaints.
    Complaints,
    /// Mostly receipts, with some of the others.
    Mixed,
}

/// Ofcom keeps 07700 900000 to 900999 free for drama; each number is one invented person.
const PEOPLE: u32 = 1000;
/// The services' own numbers, which receive texts, are the last of them.
const OWN_NUMBERS: u32 = 3;

const FIRST_NAMES: [&str; 24] = [
    "amelia", "oliver", "isla", "noah", "priya", "mohammed", "grace", "george", "aoife", "rhys", "zainab", "jack",
    "chloe", "samuel", "ngozi", "tomasz", "eleri", "harpreet", "lucy", "david", "fatima", "callum", "mei", "joseph",
];
const LAST_NAMES: [&str; 20] = [
    "jones",
    "smith",
    "khan",
    "williams",
    "okafor",
    "taylor",
    "patel",
    "evans",
    "murphy",
    "brown",
    "campbell",
    "nowak",
    "hughes",
    "singh",
    "walker",
    "li",
    "macdonald",
    "thomas",
    "robinson",
    "ahmed",
];
const MAIL_HOSTS: [&str; 3] = ["example.com", "example.org", "example.net"];
const TEAMS: [&str; 4] = ["housing@example.gov.uk", "benefits@example.gov.uk", "API", "permits@example.gov.uk"];
const LETTERS: [&str; 3] = ["Council tax reminder", "Renewal of your permit", "Your appointment"];
const TEXTS: [&str; 36] = [
    "Yes",
    "YES",
    "no",
    "No thank you",
    "STOP",
    "Ok",
    "ok thanks",
    "Thanks!",
    "C",
    "Confirm",
    "Yes that's fine, see you then",
    "Can I change it to Thursday please? I work until 3",
    "I can't make my appointment tomorrow, my son is ill. Can someone call me?",
    "Who is this?",
    "Is this a scam",
    "I never asked for this. Please take my number off",
    "Hi, I sent the form two weeks ago and have not heard anything. My reference is HB-2026-004217",
    "The link doesn't work on my phone 😕",
    "👍",
    "🙏🏽 thank you so much",
    "Diolch, byddaf yno",
    "Ga i hwn yn Gymraeg os gwelwch yn dda?",
    "Dziękuję",
    "I have moved. New address is 14 Example Street, please update",
    "CANCEL",
    "Running 10 minutes late sorry",
    "what time does the office close today",
    "Do I need to bring my passport or is the driving licence enough?\nAlso is there parking",
    "The bin was not collected again. This is the third time.",
    "Please ring me after 5pm, I can't answer at work",
    "My heating is off and I have a baby here. I rang twice. Please can someone come today",
    "yes but my name is spelled O'Brien not OBrien",
    "Wrong number mate",
    "I paid this on 3 November, the receipt says paid. Why do I get a reminder?",
    "Is it 10 or 10:30",
    "Hello, I am writing for my mother who does not use a mobile. She got your text about the review of her blue badge. She \
     would like to know which documents she has to send and whether copies are enough, because the originals are with the \
     solicitor until the end of the month. Thank you",
];

/// Makes callbacks, the same ones for the same seed and times.
pub struct Bodies {
    random: SmallRng,
    templates: Vec<(String, i64)>,
    made: u64,
}

impl Bodies {
    /// The same seed makes the same callbacks.
    #[must_use]
    pub fn new(seed: u64) -> Bodies {
        let mut random = SmallRng::seed_from_u64(seed);
        let templates = (0..8).map(|_| (uuid(&mut random), random.random_range(1..30))).collect();
        // Runs with other seeds number their references elsewhere.
        let made = random.random_range(0..900_000);
        Bodies { random, templates, made }
    }

    /// A callback that Notify would send at `now`, in microseconds since 1970 UTC.
    pub fn next(&mut self, what: What, now: i64) -> Sending {
        self.made += 1;
        let id = uuid(&mut self.random);
        let content = match what {
            What::Receipts => self.receipt(id.clone(), now),
            What::Texts => self.text(id.clone(), now),
            What::Letters => self.letter(id.clone(), now),
            What::Complaints => self.complaint(id.clone(), now),
            What::Mixed => match self.random.random_range(0..100) {
                0..86 => self.receipt(id.clone(), now),
                86..97 => self.text(id.clone(), now),
                97..99 => self.letter(id.clone(), now),
                _ => self.complaint(id.clone(), now),
            },
        };
        let callback = Callback { content, verbatim: None };
        Sending { kind: callback.kind(), id, body: callback.body() }
    }

    fn receipt(&mut self, id: String, now: i64) -> Content {
        let email = self.random.random_bool(0.6);
        let created = now - self.random.random_range(4 * SECOND..5 * MINUTE);
        let sent = created + self.random.random_range(SECOND / 5..2 * SECOND);
        let completed = sent + self.random.random_range(SECOND / 5..(now - sent).max(SECOND));
        let (template_id, template_version) = self.template();
        Content::DeliveryReceipt(DeliveryReceipt {
            id,
            reference: self.reference(now),
            to: Some(if email { self.address() } else { self.number_as_typed() }),
            status: self.status(email),
            created_at: Some(time::canonical(created)),
            completed_at: Some(time::canonical(completed)),
            sent_at: Some(time::canonical(sent)),
            notification_type: Some(if email { "email" } else { "sms" }.into()),
            template_id: Some(template_id),
            template_version: Some(template_version),
        })
    }

    fn text(&mut self, id: String, now: i64) -> Content {
        let person = self.person();
        let own = PEOPLE - 1 - self.random.random_range(0..OWN_NUMBERS);
        Content::ReceivedText(ReceivedText {
            id,
            source_number: Some(format!("447700900{person:03}")),
            destination_number: Some(format!("07700900{own:03}")),
            message: Some(self.pick(&TEXTS).to_owned()),
            date_received: Some(time::canonical(now - self.random.random_range(SECOND..4 * SECOND))),
        })
    }

    fn letter(&mut self, notification_id: String, now: i64) -> Content {
        let from_sheet = self.random.random_bool(0.5);
        let (template_id, template_version) = self.template();
        let row = self.random.random_range(1..2000);
        Content::ReturnedLetter(ReturnedLetter {
            notification_id,
            reference: self.reference(now),
            date_sent: Some(time::canonical(now - self.random.random_range(5 * DAY..20 * DAY))),
            sent_by: Some(self.pick(&TEAMS).to_owned()),
            template_name: Some(self.pick(&LETTERS).to_owned()),
            template_id: Some(template_id),
            template_version: Some(template_version),
            spreadsheet_file_name: from_sheet.then(|| "letters-november.csv".to_owned()),
            spreadsheet_row_number: from_sheet.then_some(row),
            upload_letter_file_name: None,
        })
    }

    fn complaint(&mut self, notification_id: String, now: i64) -> Content {
        Content::Complaint(Complaint {
            notification_id,
            complaint_id: Some(uuid(&mut self.random)),
            reference: self.reference(now),
            to: Some(self.address()),
            complaint_date: Some(time::canonical(now - self.random.random_range(MINUTE..DAY))),
        })
    }

    /// References are whatever the services make them; some have none.
    fn reference(&mut self, now: i64) -> Option<String> {
        let (number, year) = (self.made, 1970 + now / (365 * DAY + DAY / 4));
        match self.random.random_range(0..20) {
            0..8 => Some(format!("HB-{year}-{number:06}")),
            8..12 => Some(format!("PCN/{number:07}/{}", self.random.random_range(1..9))),
            12..15 => Some(uuid(&mut self.random)),
            15..17 => Some(format!("permit {number} renewal")),
            17 => Some(format!("apwyntiad-tŷ-{number}")),
            18 => Some(format!("{number}")),
            _ => None,
        }
    }

    fn status(&mut self, email: bool) -> Status {
        let permanent = if email { 960..993 } else { 940..985 };
        match self.random.random_range(0..1000) {
            0..940 => Status::Delivered,
            999 => Status::TechnicalFailure,
            share if permanent.contains(&share) => Status::PermanentFailure,
            share if share >= permanent.end => Status::TemporaryFailure,
            _ => Status::Delivered,
        }
    }

    /// Some people are written to and answer far more often than others.
    fn person(&mut self) -> u32 {
        let people = PEOPLE - OWN_NUMBERS;
        let reach = self.random.random_range(1..=people);
        self.random.random_range(0..reach)
    }

    fn number_as_typed(&mut self) -> String {
        let person = self.person();
        match self.random.random_range(0..10) {
            0..5 => format!("07700900{person:03}"),
            5..8 => format!("07700 900{person:03}"),
            8 => format!("+447700900{person:03}"),
            _ => format!("+44 (0)7700 900 {person:03}"),
        }
    }

    fn address(&mut self) -> String {
        let (first, last, host) = (self.pick(&FIRST_NAMES), self.pick(&LAST_NAMES), self.pick(&MAIL_HOSTS));
        match self.random.random_range(0..4) {
            0 => format!("{first}.{last}@{host}"),
            1 => format!("{first}{}@{host}", self.random.random_range(1..99)),
            2 => format!("{}.{last}{}@{host}", first.get(..1).unwrap_or(first), self.random.random_range(1960..2008)),
            _ => format!("{last}.family@{host}"),
        }
    }

    fn template(&mut self) -> (String, i64) {
        self.templates.choose(&mut self.random).cloned().unwrap_or_default()
    }

    fn pick(&mut self, from: &[&'static str]) -> &'static str {
        from.choose(&mut self.random).copied().unwrap_or_default()
    }
}

fn uuid(random: &mut SmallRng) -> String {
    uuid::Builder::from_random_bytes(random.random()).into_uuid().hyphenated().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_000_000_000_000;

    fn made(seed: u64, what: What, count: usize) -> Vec<Vec<u8>> {
        let mut bodies = Bodies::new(seed);
        (0..count).map(|_| bodies.next(what, NOW).body).collect()
    }

    #[test]
    fn every_body_is_one_that_notify_could_write() {
        for body in made(1, What::Mixed, 5000) {
            let callback = Callback::read(&body).unwrap();
            assert!(callback.verbatim.is_none() && body.is_ascii());
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_callbacks() {
        assert_eq!(made(7, What::Mixed, 50), made(7, What::Mixed, 50));
        assert_ne!(made(7, What::Mixed, 50), made(8, What::Mixed, 50));
    }

    #[test]
    fn a_mix_holds_all_four_kinds() {
        let kinds: std::collections::HashSet<Kind> =
            made(3, What::Mixed, 2000).iter().map(|body| Callback::read(body).unwrap().kind()).collect();
        assert_eq!(kinds.len(), Kind::ALL.len());
    }
}
