//! Templates: which of them callbacks name, and what they are called: by an admin, else by Notify.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::record::{self, By, Did, Entry};
use super::row::{id_value, plain};
use super::{ServiceId, Store, StoreError};

/// Callbacks that are looked through for templates, the newest.
pub const LOOKED_THROUGH: i64 = 50_000;
/// Templates that are listed.
pub const LISTED: usize = 500;

/// What a template is called.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct TemplateNames {
    /// By an admin.
    pub given: Option<String>,
    /// By Notify.
    pub told: Option<String>,
    /// When Notify last told it, or did not know it, in microseconds since 1970 UTC.
    pub asked_at: Option<i64>,
}

impl TemplateNames {
    /// The one that is shown.
    #[must_use]
    pub fn shown(&self) -> Option<&str> {
        self.given.as_deref().or(self.told.as_deref())
    }
}

/// A template of a service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TemplateSeen {
    /// The service.
    pub service: ServiceId,
    /// Its name.
    pub service_name: String,
    /// The template's number here.
    pub number: i64,
    /// Its id in Notify.
    pub template_id: String,
    /// What it is called.
    pub names: TemplateNames,
    /// How many of the newest callbacks name it.
    pub uses: i64,
    /// When the latest of these came, in microseconds since 1970 UTC.
    pub newest: Option<i64>,
}

impl Store {
    /// What a service's template is called.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn template_names(&self, service: ServiceId, template_id: &str) -> Result<TemplateNames, StoreError> {
        let id = id_value(template_id);
        self.read(move |connection| {
            let sql = "SELECT n.given, n.told, n.asked_at FROM templates t JOIN template_names n ON n.template = t.id
                WHERE t.template_id = ?1 AND n.service = ?2";
            let names = |row: &Row<'_>| names(row, 0);
            Ok(connection.prepare_cached(sql)?.query_row(params![id, service.0], names).optional()?.unwrap_or_default())
        })
        .await
    }

    /// Keeps what Notify calls a template; `None` where it does not know it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn keep_template_name(
        &self,
        service: ServiceId,
        template_id: &str,
        told: Option<String>,
        now: i64,
    ) -> Result<(), StoreError> {
        let id = id_value(template_id);
        self.write(move |connection| {
            let sql = "INSERT INTO template_names (service, template, told, asked_at)
                SELECT ?1, id, ?3, ?4 FROM templates WHERE template_id = ?2
                ON CONFLICT (service, template) DO UPDATE SET told = coalesce(excluded.told, told),
                    asked_at = excluded.asked_at";
            connection.prepare_cached(sql)?.execute(params![service.0, id, told, now]).map(drop)
        })
        .await
    }

    /// The templates of every service: those that the newest callbacks name and those with a name, by service and then the latest used.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn templates(&self) -> Result<Vec<TemplateSeen>, StoreError> {
        self.read(|connection| {
            let sql = "WITH seen AS MATERIALIZED (
                    SELECT service, template, count(*) AS uses, max(arrived_at) AS newest FROM callbacks
                    WHERE arrival >= (SELECT next FROM arrivals) - ?1 AND template IS NOT NULL GROUP BY service, template)
                SELECT s.id, s.name, t.id, t.template_id, n.given, n.told, n.asked_at, coalesce(seen.uses, 0), seen.newest
                FROM (SELECT service, template FROM seen UNION SELECT service, template FROM template_names) k
                JOIN services s ON s.id = k.service JOIN templates t ON t.id = k.template
                LEFT JOIN seen ON seen.service = k.service AND seen.template = k.template
                LEFT JOIN template_names n ON n.service = k.service AND n.template = k.template
                ORDER BY s.name, seen.newest DESC, t.id LIMIT ?2";
            let bound = params![LOOKED_THROUGH, i64::try_from(LISTED + 1).unwrap_or(i64::MAX)];
            connection.prepare_cached(sql)?.query_map(bound, seen)?.collect()
        })
        .await
    }

    /// One template of a service, by its number here.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn template(&self, service: i64, number: i64) -> Result<Option<TemplateSeen>, StoreError> {
        self.read(move |connection| {
            let sql = "SELECT s.id, s.name, t.id, t.template_id, n.given, n.told, n.asked_at, 0, NULL
                FROM services s JOIN templates t ON t.id = ?2
                LEFT JOIN template_names n ON n.service = s.id AND n.template = t.id WHERE s.id = ?1";
            connection.prepare_cached(sql)?.query_row([service, number], seen).optional()
        })
        .await
    }

    /// Gives a template a name, or takes it away.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn name_template(
        &self,
        template: &TemplateSeen,
        name: Option<String>,
        by: By,
        now: i64,
    ) -> Result<(), StoreError> {
        let (key, service, number) = (self.inner.key.clone(), template.service, template.number);
        let words = if name.is_some() { "given" } else { "taken away" };
        let entry = Entry::new(by, Did::NamedTemplate, now).of(&*template.template_id).with(words);
        self.write(move |connection| {
            record::append(connection, &key, &entry)?;
            name_it(connection, service, number, name.as_deref())
        })
        .await
    }
}

fn name_it(connection: &Connection, service: ServiceId, number: i64, name: Option<&str>) -> rusqlite::Result<()> {
    let sql = "INSERT INTO template_names (service, template, given) VALUES (?1, ?2, ?3)
        ON CONFLICT (service, template) DO UPDATE SET given = excluded.given";
    connection.prepare_cached(sql)?.execute(params![service.0, number, name]).map(drop)
}

fn names(row: &Row<'_>, at: usize) -> rusqlite::Result<TemplateNames> {
    Ok(TemplateNames { given: row.get(at)?, told: row.get(at + 1)?, asked_at: row.get(at + 2)? })
}

fn seen(row: &Row<'_>) -> rusqlite::Result<TemplateSeen> {
    Ok(TemplateSeen {
        service: ServiceId(row.get(0)?),
        service_name: row.get(1)?,
        number: row.get(2)?,
        template_id: plain(row.get_ref(3)?).unwrap_or_default(),
        names: names(row, 4)?,
        uses: row.get(7)?,
        newest: row.get(8)?,
    })
}
