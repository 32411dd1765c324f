//! SQLite: a file, opened for each question, so that an answer tells of the file that is there now.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};

use super::Question;
use crate::down::Down;

/// The health check writes to a table of its own, one row for each name, so that nothing grows.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS orders (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL,
        taken_by TEXT NOT NULL,
        body BLOB NOT NULL
    );
    CREATE INDEX IF NOT EXISTS orders_by_id ON orders (id);
    CREATE TABLE IF NOT EXISTS checks (
        name TEXT PRIMARY KEY,
        count INTEGER NOT NULL
    );";

/// A file that exists, or existed at the start.
#[derive(Debug)]
pub(super) struct Sqlite {
    path: PathBuf,
    aside: PathBuf,
    /// How long to wait for others' locks.
    busy: Duration,
}

impl Sqlite {
    /// Waits for a lock for half of `limit`, so that "database is locked" is said before time is up.
    pub(super) fn new(path: PathBuf, limit: Duration) -> Self {
        let mut aside = OsString::from(&path);
        aside.push(".taken-away");
        Self { path, aside: aside.into(), busy: limit / 2 }
    }

    /// Makes the file and its tables, if they are not there. Brings back a file that was taken away by a
    /// process that was killed then.
    pub(super) fn prepare(&self) -> Result<(), Down> {
        self.bring_back()?;
        let mut connection = self.open(OpenFlags::SQLITE_OPEN_CREATE)?;
        let transaction = begin(&mut connection, TransactionBehavior::Immediate)?;
        transaction.execute_batch(SCHEMA).map_err(Down::new)?;
        transaction.commit().map_err(Down::new)
    }

    pub(super) fn ask(&self, question: &Question) -> Result<u64, Down> {
        // Never made anew: an empty database would look healthy.
        let mut connection = self.open(OpenFlags::empty())?;
        match question {
            // Not count(*), which walks the table; orders are never deleted.
            Question::Orders => {
                connection
                    .query_row("SELECT coalesce(max(number), 0) FROM orders", [], |row| row.get(0))
            }
            Question::OrdersOf { id } => {
                connection
                    .query_row("SELECT count(*) FROM orders WHERE id = ?", [id], |row| row.get(0))
            }
            Question::Append { id, by, body } => {
                // Without a transaction it would be committed after its row has been handed out, where
                // nobody hears that it could not be.
                let transaction = begin(&mut connection, TransactionBehavior::Immediate)?;
                let number = transaction.query_row(
                    "INSERT INTO orders (id, taken_by, body) VALUES (?, ?, ?) RETURNING number",
                    params![id, by, &body[..]],
                    |row| row.get(0),
                );
                number.and_then(|number| transaction.commit().map(|()| number))
            }
            Question::Check { name } => {
                // A read and a write, and both or neither.
                let transaction = begin(&mut connection, TransactionBehavior::Immediate)?;
                let count = transaction.query_row(
                    "INSERT INTO checks (name, count) VALUES (?, 1) \
                     ON CONFLICT (name) DO UPDATE SET count = count + 1 RETURNING count",
                    [name],
                    |row| row.get(0),
                );
                count.and_then(|count| transaction.commit().map(|()| count))
            }
        }
        .map_err(Down::new)
    }

    /// Renames the file, when nobody is in the middle of something.
    pub(super) fn take_away(&self) -> Result<(), Down> {
        if self.is_away()? {
            return Ok(());
        }
        let mut connection = self.open(OpenFlags::empty())?;
        let _alone = begin(&mut connection, TransactionBehavior::Exclusive)?;
        fs::rename(&self.path, &self.aside).map_err(Down::new)
    }

    /// Renames it back.
    pub(super) fn bring_back(&self) -> Result<(), Down> {
        if !fs::exists(&self.aside).map_err(Down::new)? {
            return Ok(());
        }
        if !self.is_away()? {
            let (path, aside) = (self.path.display(), self.aside.display());
            return Err(Down::new(format_args!("both {path} and {aside} are there; remove one")));
        }
        fs::rename(&self.aside, &self.path).map_err(Down::new)
    }

    fn is_away(&self) -> Result<bool, Down> {
        Ok(fs::exists(&self.aside).map_err(Down::new)?
            && !fs::exists(&self.path).map_err(Down::new)?)
    }

    fn open(&self, more: OpenFlags) -> Result<Connection, Down> {
        // Without SQLITE_OPEN_URI: the path is a path, whatever it looks like.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
        let connection = Connection::open_with_flags(&self.path, flags).map_err(Down::new)?;
        connection.busy_timeout(self.busy).map_err(Down::new)?;
        // What is written survives the end of the process, but not of the machine: enough for a demo, and
        // a check does not wait for the disk.
        connection.pragma_update(None, "synchronous", "OFF").map_err(Down::new)?;
        Ok(connection)
    }
}

fn begin(
    connection: &mut Connection,
    behavior: TransactionBehavior,
) -> Result<rusqlite::Transaction<'_>, Down> {
    connection.transaction_with_behavior(behavior).map_err(Down::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_can_t_be_committed_is_not_confirmed() {
        let path = std::env::temp_dir().join(format!("demo-backend-{}.db", std::process::id()));
        let database = Sqlite::new(path.clone(), Duration::from_millis(20));
        database.prepare().unwrap();
        // Somebody reads and does not come to an end: it may write, but not commit.
        let reader = Connection::open(&path).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM orders;").unwrap();
        let order = || Question::Append { id: "a".into(), by: "one".into(), body: "tea".into() };
        let of_a = Question::OrdersOf { id: "a".into() };
        assert!(database.ask(&order()).is_err());
        reader.execute_batch("END;").unwrap();
        assert_eq!(database.ask(&of_a).unwrap(), 0);
        assert_eq!(database.ask(&order()).unwrap(), 1);
        assert_eq!(database.ask(&of_a).unwrap(), 1);
        fs::remove_file(&path).unwrap();
    }
}
