//! What one callback costs inside the process: reading its bytes, committing it with so many others, and counting its answer; and what
//! the metrics cost whoever reads them.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use counterfoil::meters::{Came, Held, Meters, Served, Standing};
use counterfoil::notify::{Callback, Kind};
use counterfoil::store::{Arrival, Envelope, Origin, ServiceId, Store};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const NOW: i64 = 1_795_000_000_000_000;
const BODIES: [(&str, &[u8]); 4] = [
    ("receipt", include_bytes!("../tests/callbacks/receipt-sms-delivered.json")),
    ("text", include_bytes!("../tests/callbacks/text-emoji-newline.json")),
    ("letter", include_bytes!("../tests/callbacks/returned-letter.json")),
    ("complaint", include_bytes!("../tests/callbacks/complaint.json")),
];

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    for (name, body) in BODIES {
        group.throughput(Throughput::Elements(1));
        group.bench_function(name, |bencher| bencher.iter(|| Callback::read(black_box(body)).unwrap()));
    }
}

fn commit(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (store, service) = runtime.block_on(async {
        let store = Store::serve(&folder.path().join("store"), NOW).unwrap();
        store.add_token("Bench".into(), None, [1; 32], counterfoil::store::By::itself(), NOW).await.unwrap();
        let service = store.tokens().await.unwrap().first().unwrap().service;
        (store, service)
    });
    let number = AtomicU64::new(0);
    let mut group = criterion.benchmark_group("commit");
    for at_once in [1_u64, 8, 64, 512] {
        group.throughput(Throughput::Elements(at_once));
        group.bench_function(BenchmarkId::from_parameter(at_once), |bencher| {
            bencher.iter(|| {
                runtime.block_on(async {
                    let keeping = |_| {
                        let (store, arrival) =
                            (store.clone(), arrival(service, number.fetch_add(1, Ordering::Relaxed)));
                        tokio::spawn(async move { store.keep(arrival).await })
                    };
                    let kept: Vec<_> = (0..at_once).map(keeping).collect();
                    for kept in kept {
                        kept.await.unwrap().unwrap();
                    }
                });
            });
        });
    }
}

/// A receipt with an id in random order and a reference of its own, as Notify's are.
fn arrival(service: ServiceId, number: u64) -> Arrival {
    let id = uuid::Uuid::from_u64_pair(number.wrapping_mul(0x9e37_79b9_7f4a_7c15), number);
    let body = format!(
        "{{\"id\": \"{id}\", \"reference\": \"HB-2026-{number:07}\", \"to\": \"07700 900123\", \"status\": \"delivered\", \
         \"created_at\": \"2026-11-23T15:08:26.442177Z\", \"completed_at\": \"2026-11-23T15:08:27.845226Z\", \
         \"sent_at\": \"2026-11-23T15:08:26.797666Z\", \"notification_type\": \"sms\", \
         \"template_id\": \"f9d696de-3ce8-459f-9f0e-8781d2fe61a6\", \"template_version\": 1}}"
    );
    let envelope =
        Envelope { service, token: None, origin: Origin::CalledBack, arrived_at: NOW, path: "/callbacks".into() };
    Arrival::callback(envelope, Callback::read(body.as_bytes()).unwrap())
}

/// With so many services, each of which has brought every kind, and been refused some.
fn metrics(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("metrics");
    for services in [1, 50] {
        let meters = Meters::default();
        let came = |service, kind: Kind, answer| Came { service: Some(service), kind: kind.path(), answer };
        for service in 1..=services {
            for kind in Kind::ALL {
                for answer in [200, 503] {
                    meters.came(came(service, kind, answer), NOW);
                }
            }
        }
        group.bench_function(BenchmarkId::new("count", services), |bencher| {
            bencher.iter(|| {
                meters.came(black_box(came(services, Kind::DeliveryReceipt, 200)), NOW);
                meters.callback_took(black_box(Duration::from_millis(3)), 200, NOW);
            });
        });
        let served = |id| Served { id, name: format!("Service {id}"), last_at: Some(NOW) };
        let held = Held { services: (1..=services).map(served).collect(), ..Held::default() };
        let standing = Standing { now: NOW, held: Some(held), ..Standing::default() };
        group.bench_function(BenchmarkId::new("text", services), |bencher| {
            bencher.iter(|| meters.text(&standing).unwrap());
        });
    }
}

criterion_group!(benches, parse, commit, metrics);
criterion_main!(benches);
