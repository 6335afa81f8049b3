//! The store's own calls, inside this process.

use std::path::Path;
use std::time::Instant;

use counterfoil::notify::filter::Filter;
use counterfoil::notify::recipient::{MatchKey, reference_key};
use counterfoil::notify::words;
use counterfoil::store::{Checkpoint, Cursor, Find, Only, ServiceId, Services, Source, Store};

use crate::filled::START;
use crate::machine::quantile;
use crate::sample::{CALLS, Sample};

/// Milliseconds of the store's calls: 99 in 100 are done within so many.
pub(crate) async fn calls(data: &Path, services: &[ServiceId], sample: &Sample) -> Vec<(String, f64)> {
    let store = Store::serve(data, START).unwrap();
    let mut measured = Vec::new();
    for (name, finds) in kinds(sample) {
        for sees in [Services::All, Services::Only(vec![services[1]])] {
            let mut times = Vec::new();
            for find in finds.clone() {
                let asked_at = Instant::now();
                store.find(&sees, find).await.unwrap();
                times.push(asked_at.elapsed().as_secs_f64() * 1e3);
            }
            let of = if sees == Services::All { "" } else { ", of one service" };
            measured.push((format!("{name}{of}"), quantile(&times, 0.99)));
        }
    }
    assert_eq!(store.close(), Checkpoint::Whole);
    measured
}

fn kinds(sample: &Sample) -> Vec<(&'static str, Vec<Find>)> {
    let person = |typed: &String| Source::Person(MatchKey::of_recipient(typed).unwrap().as_str().to_owned());
    let but_two = |reference: &String| {
        let key = reference_key(reference);
        let characters = key.chars().count().saturating_sub(2);
        Source::ReferenceBeginsWith(key.chars().take(characters).collect())
    };
    let first_six =
        |reference: &String| Source::ReferenceBeginsWith(reference_key(reference).chars().take(6).collect());
    let longest_word = |text: &String| Source::Words(words::of(text).max_by_key(String::len).into_iter().collect());
    let page_1000: Cursor = Cursor::After(format!("0-{}", (sample.newest - 50_000).max(1)).parse().unwrap());
    let each = |of: &[String], source: &dyn Fn(&String) -> Source| of.iter().map(|one| find(source(one))).collect();
    vec![
        ("a number", each(&sample.numbers, &person)),
        ("an email address", each(&sample.emails, &person)),
        ("a reference", each(&sample.references, &|reference| Source::Reference(reference_key(reference)))),
        ("begins with all but two characters", each(&sample.references, &but_two)),
        ("begins with six characters", each(&sample.references, &first_six)),
        ("a word of a text", each(&sample.texts, &longest_word)),
        ("a filter that some meet", vec![filtered(Filter::NotDelivered); CALLS]),
        ("a filter that few meet", vec![filtered(Filter::TechnicalFailure); CALLS]),
        ("page 1,000", vec![Find { from: Some(page_1000), ..find(Source::Newest) }; CALLS]),
        ("contains, for 20 ms", vec![find(Source::Contains("no such words".into())); CALLS / 4]),
    ]
}

fn find(source: Source) -> Find {
    Find { sources: vec![source], only: Only::default(), from: None }
}

fn filtered(filter: Filter) -> Find {
    Find { only: Only { status: Some(filter), ..Only::default() }, ..find(Source::Newest) }
}
