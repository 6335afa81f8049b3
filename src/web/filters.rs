//! The filters of lists, as they stand in an address: read, checked, shown as links that take each away. They hold nothing personal.

use jiff::civil::Date;

use super::confirm::{Fault, Faults};
use super::plain_text;
use super::request::Words;
use super::uk_time;
use crate::notify::filter::Filter;
use crate::notify::medium::Medium;
use crate::store::{Only, Service};

/// A longer id of a template is cut: no template has it.
const LONGEST_TEMPLATE: usize = 100;

/// What a list is narrowed to, as it was chosen and typed.
#[derive(Default)]
pub(super) struct Filters {
    status: Option<Filter>,
    medium: Option<Medium>,
    failed: bool,
    service: Option<Service>,
    /// As typed.
    pub(super) template: String,
    pub(super) dates: [Day; 2],
    /// Those to choose from.
    services: Vec<Service>,
    faults: Vec<Fault>,
}

/// A date as it was typed, in the fields of its name.
#[derive(Default)]
pub(super) struct Day {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) hint: &'static str,
    /// Day, month and year.
    pub(super) parts: [DayPart; 3],
    date: Option<Date>,
}

/// One field of a date.
#[derive(Default)]
pub(super) struct DayPart {
    pub(super) id: &'static str,
    pub(super) label: &'static str,
    pub(super) typed: String,
    pub(super) width: u8,
    /// Whether something is wrong with it.
    pub(super) wrong: bool,
}

/// One of those to choose from.
pub(super) struct Choice {
    pub(super) value: String,
    pub(super) words: String,
    pub(super) chosen: bool,
}

/// A filter that is set.
pub(super) struct Set {
    pub(super) words: String,
    /// Its names in an address.
    names: &'static [&'static str],
}

const EARLIEST: [&str; 3] = ["earliest-day", "earliest-month", "earliest-year"];
const LATEST: [&str; 3] = ["latest-day", "latest-month", "latest-year"];

impl Filters {
    /// From a query, with the services that may be seen. What is no filter is none.
    pub(super) fn of(query: &Words, services: Vec<Service>) -> Filters {
        let service = query.number("service");
        let template: String =
            query.get("template").unwrap_or_default().trim().chars().take(LONGEST_TEMPLATE).collect();
        let mut filters = Filters {
            status: query.get("status").and_then(Filter::of),
            medium: query.get("kind").and_then(Medium::of),
            failed: query.get("failed").is_some(),
            service: services.iter().find(|of| service == Some(of.id.0)).filter(|_| services.len() > 1).cloned(),
            template,
            dates: [
                Day::of(
                    query,
                    "earliest",
                    "Earliest date",
                    "When the report or text arrived. For example, 27 3 2026",
                    EARLIEST,
                ),
                Day::of(query, "latest", "Latest date", "For example, 29 3 2026", LATEST),
            ],
            services,
            faults: Vec::new(),
        };
        filters.check();
        filters
    }

    /// Of a list that is narrowed to a service and dates alone.
    pub(super) fn of_service_and_dates(query: &Words, services: Vec<Service>) -> Filters {
        Filters::of(&query.only(&[["service"].as_slice(), &EARLIEST, &LATEST].concat()), services)
    }

    /// The same, of one day alone.
    pub(super) fn on(mut self, date: Date) -> Filters {
        let typed = [date.day().to_string(), date.month().to_string(), date.year().to_string()];
        for part in self.dates.iter_mut().flat_map(|day| day.parts.iter_mut().zip(&typed)) {
            let (part, typed) = part;
            part.typed.clone_from(typed);
            part.wrong = false;
        }
        self.faults.clear();
        self.check();
        self
    }

    fn check(&mut self) {
        for day in &mut self.dates {
            self.faults.extend(day.check());
        }
        let [earliest, latest] = &self.dates;
        if let (Some(from), Some(until)) = (earliest.date, latest.date)
            && until < from
        {
            let [first, ..] = LATEST;
            self.faults.push(Fault::new(first, "Latest date must be the same as or after the earliest date"));
            let [_, latest] = &mut self.dates;
            latest.parts.iter_mut().for_each(|part| part.wrong = true);
        }
    }

    /// What is wrong with what was typed.
    pub(super) fn faults(&self) -> Faults {
        self.faults.clone().into()
    }

    /// What is wrong with a date.
    pub(super) fn wrong(&self, name: &str) -> Option<&str> {
        self.faults.iter().find(|fault| fault.field.starts_with(name)).map(|fault| fault.words.as_str())
    }

    /// What the store is asked.
    pub(super) fn only(&self) -> Only {
        let [earliest, latest] = &self.dates;
        Only {
            status: self.status,
            medium: self.medium,
            failed: self.failed,
            service: self.service.as_ref().map(|service| service.id),
            template: (!self.template.is_empty()).then(|| template(&self.template)),
            since: earliest.date.map(|day| uk_time::starts(day, 0)),
            until: latest.date.map(|day| uk_time::starts(day, 1)),
        }
    }

    /// Whether received texts alone are asked for.
    pub(super) fn are_of_texts(&self) -> bool {
        self.medium == Some(Medium::ReceivedText)
    }

    /// Names and values for an address, without those of some names.
    pub(super) fn pairs_without(&self, without: &[&str]) -> Vec<(String, String)> {
        let mut pairs: Vec<(&str, String)> = Vec::new();
        pairs.extend(self.status.map(|status| ("status", status.value().to_owned())));
        pairs.extend(self.medium.map(|medium| ("kind", medium.value().to_owned())));
        pairs.extend(self.failed.then(|| ("failed", "yes".to_owned())));
        pairs.extend(self.service.as_ref().map(|service| ("service", service.id.0.to_string())));
        pairs.extend(Some(("template", self.template.clone())).filter(|(_, typed)| !typed.is_empty()));
        let typed = self.dates.iter().flat_map(|day| &day.parts).filter(|part| !part.typed.is_empty());
        pairs.extend(typed.map(|part| (part.id, part.typed.clone())));
        pairs.retain(|(name, _)| !without.contains(name));
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Those that are set, each with its names; where something is wrong, none is.
    pub(super) fn set(&self) -> Vec<Set> {
        let mut set = Vec::new();
        let mut add = |names, words: String| set.push(Set { words, names });
        if let Some(status) = self.status {
            add(&["status"], status.words().to_owned());
        }
        if let Some(medium) = self.medium {
            add(&["kind"], medium.words().to_owned());
        }
        if self.failed {
            add(&["failed"], "Only failures".to_owned());
        }
        if let Some(service) = &self.service {
            add(&["service"], format!("Service: {}", plain_text::line(&service.name)));
        }
        if !self.template.is_empty() {
            add(&["template"], format!("Template: {}", plain_text::line(&self.template)));
        }
        let [earliest, latest] = &self.dates;
        if let Some(date) = earliest.date {
            add(&EARLIEST, format!("From {}", uk_time::date(date)));
        }
        if let Some(date) = latest.date {
            add(&LATEST, format!("Until {}", uk_time::date(date)));
        }
        set
    }

    /// Whether the fields are to be seen at once.
    pub(super) fn are_open(&self) -> bool {
        !self.pairs_without(&[]).is_empty()
    }

    pub(super) fn are_failures(&self) -> bool {
        self.failed
    }

    pub(super) fn statuses(&self) -> Vec<Choice> {
        let choice = |filter: Filter| Choice {
            value: filter.value().into(),
            words: filter.words().into(),
            chosen: self.status == Some(filter),
        };
        Filter::ALL.into_iter().map(choice).collect()
    }

    pub(super) fn kinds(&self) -> Vec<Choice> {
        let choice = |medium: Medium| Choice {
            value: medium.value().into(),
            words: medium.words().into(),
            chosen: self.medium == Some(medium),
        };
        Medium::ALL.into_iter().map(choice).collect()
    }

    /// The services to choose from; none where there is one alone.
    pub(super) fn services(&self) -> Vec<Choice> {
        let choice = |service: &Service| Choice {
            value: service.id.0.to_string(),
            words: plain_text::line(&service.name),
            chosen: self.service.as_ref().is_some_and(|chosen| chosen.id == service.id),
        };
        self.services.iter().filter(|_| self.services.len() > 1).map(choice).collect()
    }
}

impl Set {
    /// The pairs of an address without it.
    pub(super) fn gone_from(&self, filters: &Filters) -> Vec<(String, String)> {
        filters.pairs_without(self.names)
    }
}

impl Day {
    fn of(query: &Words, name: &'static str, label: &'static str, hint: &'static str, ids: [&'static str; 3]) -> Day {
        let labels = [("Day", 2), ("Month", 2), ("Year", 4)];
        let mut parts = ids.into_iter().zip(labels).map(|(id, (label, width))| DayPart {
            id,
            label,
            typed: query.get(id).unwrap_or_default().trim().chars().take(20).collect(),
            width,
            wrong: false,
        });
        let parts = std::array::from_fn(|_| parts.next().unwrap_or_default());
        Day { name, label, hint, parts, date: None }
    }

    /// Reads it; gives what is wrong.
    fn check(&mut self) -> Option<Fault> {
        let is_missing = |part: &DayPart| part.typed.is_empty();
        let missing: Vec<String> =
            self.parts.iter().filter(|part| is_missing(part)).map(|part| part.label.to_lowercase()).collect();
        let [day, month, year] = &self.parts;
        let (words, is_wrong): (String, fn(&DayPart) -> bool) = if missing.len() == self.parts.len() {
            return None;
        } else if !missing.is_empty() {
            (format!("{} must include a {}", self.label, missing.join(" and ")), is_missing)
        } else if year.typed.len() != 4 || year.typed.parse::<i16>().is_err() {
            let words = format!("Year of the {} must include 4 numbers", self.label.to_lowercase());
            (words, |part| part.label == "Year")
        } else {
            let month = month.typed.parse().ok().or_else(|| uk_time::month(&month.typed));
            let date = day.typed.parse().ok().zip(month).zip(year.typed.parse().ok());
            self.date = date.and_then(|((day, month), year)| Date::new(year, month, day).ok());
            if self.date.is_some() {
                return None;
            }
            (format!("{} must be a real date", self.label), |_| true)
        };
        let mut first = None;
        for part in self.parts.iter_mut().filter(|part| is_wrong(part)) {
            part.wrong = true;
            first = first.or(Some(part.id));
        }
        first.map(|first| Fault::new(first, words))
    }
}

/// Notify's id of a template, however it was typed.
fn template(typed: &str) -> String {
    uuid::Uuid::try_parse(typed).map_or_else(|_| typed.to_owned(), |id| id.hyphenated().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ServiceId;

    fn services(count: i64) -> Vec<Service> {
        let service = |id| Service { id: ServiceId(id), name: format!("Service {id}"), notify_service_id: None };
        (1..=count).map(service).collect()
    }

    fn filters(query: &str) -> Filters {
        Filters::of(&Words::parse(query.as_bytes()), services(2))
    }

    fn query(pairs: Vec<(String, String)>) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    }

    #[test]
    fn filters_stand_in_an_address_and_each_can_be_taken_out_of_it() {
        let whole = "status=delivered&kind=email&failed=yes&service=2&template=x&earliest-day=1&earliest-month=2&\
                     earliest-year=2026&latest-day=3&latest-month=Mar&latest-year=2026";
        let all = filters(whole);
        assert_eq!(query(all.pairs_without(&[])), whole);
        let set = all.set();
        let words: Vec<&str> = set.iter().map(|set| set.words.as_str()).collect();
        let expected = [
            "Delivered",
            "Email",
            "Only failures",
            "Service: Service 2",
            "Template: x",
            "From 1 February 2026",
            "Until 3 March 2026",
        ];
        assert_eq!(words, expected);
        for (at, gone) in set.iter().enumerate() {
            let left = filters(&query(gone.gone_from(&all)));
            let mut expected = expected.to_vec();
            expected.remove(at);
            assert_eq!(left.set().iter().map(|set| set.words.clone()).collect::<Vec<_>>(), expected);
        }
        assert!(filters("").pairs_without(&[]).is_empty() && !filters("status=&kind=&service=").are_open());
    }

    #[test]
    fn a_service_is_a_filter_only_where_there_are_several_that_may_be_seen() {
        assert!(filters("service=3").only().service.is_none(), "one that may not be seen");
        let alone = Filters::of(&Words::parse(b"service=1"), services(1));
        assert!(alone.only().service.is_none() && alone.services().is_empty());
        assert_eq!(filters("service=1").only().service, Some(ServiceId(1)));
    }

    #[test]
    fn a_day_is_one_of_london() {
        let only = filters(
            "earliest-day=27&earliest-month=3&earliest-year=2026&latest-day=29&latest-month=march&latest-year=2026",
        )
        .only();
        let hour = crate::clock::HOUR;
        // In between the clocks go forward.
        assert_eq!(only.until.unwrap() - only.since.unwrap(), 71 * hour);
    }

    #[test]
    fn a_day_that_is_named_takes_the_place_of_what_was_typed() {
        let filters =
            filters("kind=email&earliest-day=31&earliest-month=2&earliest-year=2026").on(Date::constant(2026, 3, 4));
        let day = "earliest-day=4&earliest-month=3&earliest-year=2026&latest-day=4&latest-month=3&latest-year=2026";
        assert_eq!(query(filters.pairs_without(&[])), format!("kind=email&{day}"));
        assert!(filters.faults().all().is_empty() && filters.wrong("earliest").is_none());
        let only = filters.only();
        assert_eq!(only.until.unwrap() - only.since.unwrap(), crate::clock::DAY);
    }

    #[test]
    fn a_wrong_date_is_said_by_its_field_and_what_was_typed_is_kept() {
        for (typed, field, words) in [
            (
                "earliest-day=31&earliest-month=2&earliest-year=2026",
                "earliest-day",
                "Earliest date must be a real date",
            ),
            ("earliest-day=31", "earliest-month", "Earliest date must include a month and year"),
            ("latest-month=2&latest-year=2026", "latest-day", "Latest date must include a day"),
            (
                "latest-day=1&latest-month=2&latest-year=26",
                "latest-year",
                "Year of the latest date must include 4 numbers",
            ),
            (
                "earliest-day=2&earliest-month=1&earliest-year=2026&latest-day=1&latest-month=1&latest-year=2026",
                "latest-day",
                "Latest date must be the same as or after the earliest date",
            ),
        ] {
            let filters = filters(typed);
            let faults = filters.faults();
            assert_eq!(faults.all(), [Fault::new(faults.all()[0].field, words)], "{typed}");
            assert_eq!(faults.all()[0].field, field);
            assert_eq!(filters.wrong(field.split('-').next().unwrap()), Some(words));
            assert_eq!(query(filters.pairs_without(&[])), typed);
        }
    }

    #[test]
    fn a_templates_id_is_read_however_it_is_typed() {
        let id = "f9d696de-3ce8-459f-9f0e-8781d2fe61a6";
        for typed in [id.to_owned(), id.to_uppercase(), format!(" {} ", id.replace('-', ""))] {
            let typed = query(vec![("template".into(), typed)]);
            assert_eq!(filters(&typed).only().template.as_deref(), Some(id));
        }
    }
}
