//! What is served at which address. `routes()` is the table of contents; each file below it is a page, with its template.
//!
//! A route reads: path, method, the site, who asks, what is asked, then the handler. Handlers answer and never reject,
//! because a rejection would fall through to the next route. What went wrong goes along with the answer, and its page is made
//! at the end, for whoever is signed in.

mod accessibility;
mod account;
mod alarms;
mod arrivals;
mod ask_notify;
mod assets;
mod audit;
mod back;
mod callbacks;
mod chrome;
mod compressing;
mod confirm;
mod contacts;
mod conversation;
mod cookies;
mod download;
mod elsewhere;
mod filters;
mod flag_tag;
mod flags;
#[cfg(test)]
mod fuzz;
mod gap;
mod handling;
mod health;
mod help;
mod keeping;
mod messages;
mod metrics;
mod owner;
mod passkeys;
mod people;
mod plain_text;
mod problem;
mod qr;
mod quarantine;
mod receipt;
mod receipts;
mod request;
mod results;
mod safe;
mod said;
mod search;
mod second_step;
mod seen;
mod sent_text;
mod sessions;
mod set_password;
mod settings;
mod sign_in;
mod silence;
mod single_sign_on;
mod status;
mod subjects;
mod take_along;
mod taken;
mod templates;
mod timeline;
mod to_https;
mod tokens;
mod trail;
mod uk_time;
mod whole;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, header};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::path::FullPath;
use warp::reply::Response;

use crate::access::{Caseworker, RelyingParty, RequiredOf, Senders, SingleSignOn, Visitors, refuse_cross_site};
use crate::asking::Asking;
use crate::clock;
use crate::edge::{Peer, asked};
use crate::store::{Entry, Store};

use chrome::{Chrome, Here};
pub use elsewhere::{CaseUrl, WrongCaseUrl};
pub use owner::{HelpContact, Owner, ServiceName, Statement};
use problem::Problem;
use safe::PublicUrl;
pub use set_password::{LINK_WORKS, link_path};
pub use single_sign_on::CALLBACK_PATH;
pub use to_https::to_https;

/// What every page needs.
pub struct Site {
    store: Store,
    senders: Senders,
    visitors: Visitors,
    /// How people and Notify reach it, where that was said.
    public_url: Option<PublicUrl>,
    /// What passkeys are made for; `None` where browsers have none at that address.
    relying_party: Option<RelyingParty>,
    beyond: Beyond,
    owner: Arc<Owner>,
}

/// What pages lead to and whom they ask beyond this server.
pub struct Beyond {
    /// Where the case system has the case with a reference.
    pub case_url: Option<CaseUrl>,
    /// The address of Notify's own pages, without a slash at its end.
    pub notify_pages: String,
    /// Notify's API, for the services whose keys there are.
    pub asking: Asking,
}

/// Where the pages of GOV.UK Notify are.
pub const NOTIFY_PAGES: &str = "https://www.notifications.service.gov.uk";

impl Default for Beyond {
    fn default() -> Beyond {
        Beyond { case_url: None, notify_pages: NOTIFY_PAGES.to_owned(), asking: Asking::default() }
    }
}

impl Site {
    /// Over an open store; of whom a second factor is required, what lies beyond, and whose it is.
    #[must_use]
    pub fn new(
        store: &Store,
        public_url: Option<String>,
        second_factor: RequiredOf,
        single_sign_on: Option<SingleSignOn>,
        beyond: Beyond,
        owner: Owner,
    ) -> Arc<Site> {
        Arc::new(Site {
            beyond,
            owner: Arc::new(owner),
            store: store.clone(),
            senders: Senders::new(store.clone()),
            visitors: Visitors::new(store.clone(), second_factor).with_single_sign_on(single_sign_on),
            relying_party: public_url
                .as_deref()
                .map_or_else(|| Some(RelyingParty::on_this_machine()), RelyingParty::at),
            public_url: public_url.map(|url| PublicUrl::of(&url)),
        })
    }

    /// What surrounds a page of this site, for whoever is signed in.
    fn chrome(&self, person: Option<&Caseworker>, here: Here) -> Chrome {
        Chrome::new(&self.owner, person, here)
    }

    /// Writes down what somebody sees, before it is shown: what cannot be written down is not shown.
    async fn record(&self, seen: Entry) -> Result<(), Problem> {
        self.record_all(vec![seen]).await
    }

    /// As [`Site::record`], where it is the data of several.
    async fn record_all(&self, seen: Vec<Entry>) -> Result<(), Problem> {
        self.store.record_all(seen).await.map_err(|error| match error.into() {
            told @ (Problem::Damaged | Problem::Busy) => told,
            _ => Problem::NotRecorded,
        })
    }

    /// Where the case with a reference is, where there is a case system.
    fn case(&self, reference: &str) -> Option<String> {
        self.beyond.case_url.as_ref()?.of(reference)
    }

    /// Whether it is reached by https.
    fn is_https(&self) -> bool {
        self.public_url.as_ref().is_some_and(PublicUrl::is_https)
    }
}

/// The pages and the callbacks.
#[must_use]
pub fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    let pages = [
        assets::routes(),
        damaged(site),
        posted_otherwise(),
        sign_in::routes(site),
        single_sign_on::routes(site),
        second_step::routes(site),
        passkeys::routes(site),
        account::routes(site),
        set_password::routes(site),
        search::routes(site),
        receipts::routes(site),
        receipt::routes(site),
        ask_notify::routes(site),
        messages::routes(site),
        contacts::routes(site),
        conversation::routes(site),
        take_along::routes(site),
        handling::routes(site),
        quarantine::routes(site),
        subjects::routes(site),
        people::routes(site),
        tokens::routes(site),
        audit::routes(site),
        flags::routes(site),
        settings::routes(site),
        templates::routes(site),
        alarms::routes(site),
        status::route(site),
        arrivals::routes(site),
        cookies::routes(site),
        accessibility::routes(site),
        help::routes(site),
        sessions::routes(site),
    ];
    let pages = one_of(pages).or(none_of_them()).unify();
    let asked = warp::method().and(warp::header::headers_cloned()).and(warp::ext::optional::<Peer>());
    let asked = asked.and(request::site(site));
    let (https, meters) = (site.is_https(), site.store.meters().clone());
    let page = move |page| {
        took().inspect(|time| meters.page_took(*time));
        problem::secured(page, https)
    };
    let pages = asked.and(pages).then(for_whoever_asks).map(page).boxed();
    let health = health::routes(site);
    answering(site, health.or(callbacks::wherever_they_come(site)).unify().or(pages).unify().boxed())
}

/// How long the request in hand has taken so far.
fn took() -> Option<Duration> {
    asked().map(|asked| asked.began.elapsed())
}

/// Only callbacks, at any path: for a listener of their own.
#[must_use]
pub fn callback_routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    answering(site, health::routes(site).or(callbacks::anywhere(site)).unify().boxed())
}

/// What is measured, for a listener of its own.
#[must_use]
pub fn metrics_routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    answering(site, health::routes(site).or(metrics::route(site)).unify().boxed())
}

/// In place of every page, where the store is damaged: what is in it may be wrong, and nobody is to find out by chance.
fn damaged(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    let answer = |site: Arc<Site>, method: Method, path: FullPath, headers: HeaderMap| {
        let signs_out = method == Method::POST && path.as_str() == "/sign-out" && refuse_cross_site(&headers).is_ok();
        std::future::ready(match site.store.is_damaged() {
            true if signs_out => Ok(sign_in::signed_out_here_alone(&site)),
            true => Ok(problem::answer(Err(Problem::Damaged))),
            false => Err(warp::reject::not_found()),
        })
    };
    let asked = warp::method().and(warp::path::full()).and(warp::header::headers_cloned());
    request::site(site).and(asked).and_then(answer).boxed()
}

/// What is posted to a page and is no form. A callback at a wrong address, with a wrong token, would be led from there to the page
/// where people sign in, and Notify would take that for an acknowledgement.
fn posted_otherwise() -> BoxedFilter<(Response,)> {
    let answer = |headers: HeaderMap, path: FullPath| {
        let is_form = |kind: &str| {
            kind.split(';').any(|part| part.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
        };
        let kind = headers.get(header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap_or_default());
        let takes_posts = methods(path.as_str()).is_some_and(|allowed| allowed.ends_with("POST"));
        std::future::ready(if takes_posts && kind.is_some_and(|kind| !is_form(kind)) {
            Ok(problem::answer(Err(Problem::BadRequest)))
        } else {
            Err(warp::reject::not_found())
        })
    };
    warp::post().and(warp::header::headers_cloned()).and(warp::path::full()).and_then(answer).boxed()
}

/// The page that is sent, compressed where that is safe. Where it tells of the sign-in before, no other tells of it again; without
/// its body it tells nothing.
async fn for_whoever_asks(
    method: Method,
    headers: HeaderMap,
    peer: Option<Peer>,
    site: Arc<Site>,
    response: Response,
) -> Response {
    let response = with_problem(&headers, peer, &site, response).await;
    if method != Method::HEAD && response.extensions().get::<problem::TellsOfSignInBefore>().is_some() {
        site.visitors.told_of_sign_in_before(&headers).await;
    }
    compressing::where_safe(&headers, response).await
}

/// The page of a problem, with the menu and the search box of whoever is signed in.
async fn with_problem(headers: &HeaderMap, peer: Option<Peer>, site: &Site, response: Response) -> Response {
    let Some(problem) = problem::told_by(&response) else { return response };
    if let Problem::SignInKeeping(kept) = problem {
        return problem::answer(sign_in::keeping(site, headers, peer, kept));
    }
    let person = site.visitors.recognise(headers, &request::address(peer), clock::now()).await.ok();
    problem.page(site.chrome(person.as_ref(), Here::Nowhere))
}

/// What is answered where no route is.
fn none_of_them() -> BoxedFilter<(Response,)> {
    let problem = |method: Method, path: FullPath| match methods(path.as_str()) {
        Some(allowed) if !allowed.split(", ").any(|name| name == method.as_str()) => Problem::WrongMethod { allowed },
        _ => Problem::NotFound,
    };
    warp::method().and(warp::path::full()).map(problem).map(|problem| problem::answer(Err(problem))).boxed()
}

/// What each page can be asked by, for who asked by something else; `None` where there is no page.
fn methods(path: &str) -> Option<&'static str> {
    let parts: Vec<&str> = path.strip_suffix('/').unwrap_or(path).split('/').skip(1).collect();
    Some(match parts.as_slice() {
        ["sign-in" | "search" | "audit" | "session" | "ask-notify" | "flags" | "settings"]
        | ["set-password" | "contacts", _]
        | ["sign-in", "code" | "recovery-code" | "set-up" | "passkey"]
        | ["account", "second-factor" | "recovery-codes" | "password" | "sessions" | "passkeys" | "emails"]
        | ["people", "invite"]
        | ["tokens", "new"] => "GET, HEAD, POST",
        ["account", "passkeys", id] if id.parse::<i64>().is_ok() => "GET, HEAD, POST",
        ["sign-out"] | ["sign-in", "code" | "set-up", "passkey"] | ["messages", _, "handling"] => "POST",
        ["subjects", parts @ ..] => return subjects::methods(parts),
        []
        | [
            "receipts" | "messages" | "contacts" | "quarantine" | "alarms" | "accessibility" | "arrivals" | "cookies"
            | "account" | "people" | "tokens" | "templates" | "livez" | "readyz" | "status",
        ]
        | ["receipts" | "messages" | "search", _]
        | ["sign-in", "oidc"]
        | ["sign-in", "oidc", "callback"]
        | ["audit", "csv"]
        | ["help", "statuses" | "keyboard"]
        | ["search" | "messages" | "contacts", _, "csv" | "xlsx"]
        | ["download", "receipts" | "messages", "csv" | "xlsx"] => "GET, HEAD",
        ["alarms", id] if id.parse::<i64>().is_ok() => "POST",
        ["quarantine", arrival] | ["quarantine", arrival, "bytes"] if arrival.parse::<i64>().is_ok() => "GET, HEAD",
        ["quarantine", arrival, "read-again"] if arrival.parse::<i64>().is_ok() => "POST",
        ["people", id] if id.parse::<i64>().is_ok() => "GET, HEAD",
        ["people", id, "change" | "disable" | "remove-app" | "reset" | "sign-out"]
        | ["tokens", id, "rotate" | "revoke"]
            if id.parse::<i64>().is_ok() =>
        {
            "GET, HEAD, POST"
        }
        ["templates", service, number] if service.parse::<i64>().is_ok() && number.parse::<i64>().is_ok() => {
            "GET, HEAD, POST"
        }
        ["people", id, "enable"] | ["tokens", id, "keep"] if id.parse::<i64>().is_ok() => "POST",
        _ if assets::is_one(path) => "GET, HEAD",
        _ => return None,
    })
}

/// GET, and HEAD, which hyper answers without the body.
fn get() -> BoxedFilter<()> {
    warp::get().or(warp::head()).unify().boxed()
}

fn one_of<const N: usize>(routes: [BoxedFilter<(Response,)>; N]) -> BoxedFilter<(Response,)> {
    let none = warp::any().and_then(|| async { Err(warp::reject::not_found()) }).boxed();
    routes.into_iter().fold(none, |others, route| others.or(route).unify().boxed())
}

/// The routes, each answer with its headers. The error's type holds that nothing is left to reject.
fn answering(site: &Arc<Site>, routes: BoxedFilter<(Response,)>) -> BoxedFilter<(Response,)> {
    let https = site.is_https();
    let answered = routes.recover(|_| async { Ok::<_, Infallible>(problem::answer(Err(Problem::NotFound))) });
    let peer = warp::ext::optional::<Peer>();
    let encrypted = move |peer: Option<Peer>| https || peer.is_some_and(|peer| peer.tls);
    answered.unify().and(peer).map(move |response, peer| problem::bare(response, encrypted(peer))).boxed()
}
