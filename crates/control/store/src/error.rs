//! What the store answers when it cannot.

use std::sync::Arc;

/// Why the store did not do it. Nothing was written, unless it is [`StoreError::InDoubt`].
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be used at all.
    #[error("the store {what} cannot be opened: {error}")]
    Open {
        /// The file, or the database.
        what: String,
        /// Why.
        error: String,
    },
    /// A row with this identity exists already.
    #[error("{0} exists already")]
    Conflict(&'static str),
    /// What should be changed is not there.
    #[error("{0} does not exist")]
    NotFound(&'static str),
    /// A row holds what this program never wrote.
    #[error("the store holds a {what} that cannot be read: {why}; it was changed by hand or by a later version")]
    Damaged {
        /// Which kind of row.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// The store is in PostgreSQL, which has better means.
    #[error("the store is a PostgreSQL database: back it up with pg_dump, and restore it with pg_restore")]
    NotHere,
    /// Writers wait in a long line.
    #[error("the store is busy: other changes took too long; try again")]
    Busy,
    /// It was written, and could not be made durable.
    #[error("the change was not kept: {0}")]
    Commit(Arc<StoreError>),
    /// The database went away while it was made durable, and does not tell what became of it: the one error after which the change may
    /// be there.
    #[error("it is not known whether the change was kept: {0}")]
    InDoubt(Arc<StoreError>),
    /// The disk is full, the file locked, or the like.
    #[error("the store did not answer: {0}")]
    Database(sqlx::Error),
}

/// What is the matter with a store that failed, as far as whoever asked must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Another process holds it, or many wait. The next try may do.
    Busy,
    /// There is no room on its disk.
    Full,
    /// The database is not there. It may come back.
    Unreachable,
    /// Whether the change was kept is not known.
    InDoubt,
    /// Something that no further try will mend.
    Broken,
}

impl StoreError {
    /// What is the matter.
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Busy => Trouble::Busy,
            Self::InDoubt(_) => Trouble::InDoubt,
            Self::Commit(error) => error.trouble(),
            Self::Database(error) => of_database(error),
            Self::Open { .. } | Self::Conflict(_) | Self::NotFound(_) | Self::Damaged { .. } | Self::NotHere => Trouble::Broken,
        }
    }
}

fn of_database(error: &sqlx::Error) -> Trouble {
    match error {
        sqlx::Error::Database(database) => database.code().map_or(Trouble::Broken, |code| of_code(&code)),
        // Whoever stands before a database that is gone may pick up, and hang up in the middle of a word.
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => {
            Trouble::Unreachable
        }
        _ => Trouble::Broken,
    }
}

/// PostgreSQL's codes have five characters (its manual, appendix A), SQLite's are numbers whose lowest byte says the kind
/// (sqlite.org/rescode.html).
fn of_code(code: &str) -> Trouble {
    /// The file that readers share could not be made longer: there is no room either.
    const IOERR_SHMSIZE: u32 = 4874;
    if code.len() == 5 {
        return match (code.get(..2).unwrap_or_default(), code) {
            (_, "53100") => Trouble::Full,
            (_, "55P03" | "40001" | "40P01" | "57014") | ("53", _) => Trouble::Busy,
            ("08", _) | (_, "57P01" | "57P02" | "57P03" | "57P05") => Trouble::Unreachable,
            _ => Trouble::Broken,
        };
    }
    match code.parse::<u32>() {
        Ok(IOERR_SHMSIZE) => Trouble::Full,
        Ok(code) => match code & 0xff {
            5 | 6 => Trouble::Busy,
            13 => Trouble::Full,
            _ => Trouble::Broken,
        },
        Err(_) => Trouble::Broken,
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) if database.is_unique_violation() => {
                let message = database.message();
                let what = ["record", "zone", "tunnel", "account"].into_iter().find(|table| message.contains(table));
                Self::Conflict(what.unwrap_or("it"))
            }
            _ => Self::Database(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_matter_is_told_by_the_engines_codes() {
        for (code, trouble) in [
            ("5", Trouble::Busy),
            ("517", Trouble::Busy),
            ("6", Trouble::Busy),
            ("13", Trouble::Full),
            ("4874", Trouble::Full),
            ("11", Trouble::Broken),
            ("53100", Trouble::Full),
            ("53300", Trouble::Busy),
            ("55P03", Trouble::Busy),
            ("57P01", Trouble::Unreachable),
            ("08006", Trouble::Unreachable),
            ("42P01", Trouble::Broken),
            ("", Trouble::Broken),
            ("ééx", Trouble::Broken),
        ] {
            assert_eq!(of_code(code), trouble, "{code}");
        }
        let gone = || StoreError::Database(sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into()));
        assert_eq!(gone().trouble(), Trouble::Unreachable);
        assert_eq!(StoreError::Commit(Arc::new(gone())).trouble(), Trouble::Unreachable);
        assert_eq!(StoreError::InDoubt(Arc::new(gone())).trouble(), Trouble::InDoubt);
        assert_eq!(StoreError::Conflict("zone").trouble(), Trouble::Broken);
    }
}
