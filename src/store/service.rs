//! Notify's services: those that callback tokens were made for.

use rusqlite::{Connection, OptionalExtension, Row};

use super::{ServiceId, Services, Store, StoreError};

/// A Notify service that sends callbacks here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// Its number.
    pub id: ServiceId,
    /// Its name, as whoever made its first token gave it.
    pub name: String,
    /// Its id in Notify, where that is known.
    pub notify_service_id: Option<String>,
}

fn service(row: &Row<'_>) -> rusqlite::Result<Service> {
    Ok(Service { id: ServiceId(row.get(0)?), name: row.get(1)?, notify_service_id: row.get(2)? })
}

/// Those that may be seen, by name.
pub(super) fn seen(connection: &Connection, sees: &Services) -> rusqlite::Result<Vec<Service>> {
    let sql = "SELECT id, name, notify_service_id FROM services
        WHERE ?1 IS NULL OR id IN (SELECT value FROM json_each(?1)) ORDER BY name";
    connection.prepare_cached(sql)?.query_map([sees.bound()], service)?.collect()
}

/// The id in Notify of a service, where it is known.
pub(super) fn notify_id(connection: &Connection, service: ServiceId) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT notify_service_id FROM services WHERE id = ?1";
    Ok(connection.prepare_cached(sql)?.query_row([service.0], |row| row.get(0)).optional()?.flatten())
}

impl Store {
    /// The service of this name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn service(&self, name: &str) -> Result<Option<Service>, StoreError> {
        let name = name.to_owned();
        self.read_at_the_door(move |connection| {
            let sql = "SELECT id, name, notify_service_id FROM services WHERE name = ?1";
            connection.prepare_cached(sql)?.query_row([name], service).optional()
        })
        .await
    }

    /// The services that a reader may see, by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn services_seen(&self, sees: &Services) -> Result<Vec<Service>, StoreError> {
        let mut services = self.services().await?;
        services.retain(|service| sees.allow(service.id));
        Ok(services)
    }

    /// Every service, by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn services(&self) -> Result<Vec<Service>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT id, name, notify_service_id FROM services ORDER BY name";
            connection.prepare_cached(sql)?.query_map([], service)?.collect()
        })
        .await
    }
}
